#include "tools/terminal.h"

#include <unistd.h>

#include <cstdlib>

#include "lib/base/utf8.h"

namespace gemma4 {

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

bool redraws(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  if (term == nullptr || std::string_view(term) == "dumb") return false;
  return is_terminal(descriptor);
}

bool uses_color(int descriptor, std::string_view when) {
  if (when == "auto") return redraws(descriptor);
  return when == "always";
}

std::string dimmed(std::string_view text) {
  if (text.empty()) return {};
  return "\033[2m" + std::string(text) + "\033[22m";
}

std::string without_controls(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const CodePoint point = decode_utf8(text);
    const size_t length = point.length == 0 ? 1 : point.length;
    const char32_t c = point.value;
    const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
    if (!control || c == '\n' || c == '\t') out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace gemma4
