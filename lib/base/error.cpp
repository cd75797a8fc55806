#include "lib/base/error.h"

namespace gemma4 {

std::string printable(std::string_view text, size_t max_bytes) {
  const bool cut = text.size() > max_bytes;
  if (cut) {
    size_t end = max_bytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
    text = text.substr(0, end);
  }
  std::string out;
  out.reserve(text.size() + 3);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += (byte < 0x20 || byte == 0x7F) ? '?' : c;
  }
  if (cut) out += "...";
  return out;
}

Error::Error(ErrorKind kind, std::string_view what_failed, std::string_view on,
             std::string_view hint)
    : kind_(kind), message_(printable(what_failed, 2000)) {
  if (!on.empty()) message_ += ": " + printable(on, 2000);
  if (!hint.empty()) message_ += "; " + printable(hint, 2000);
}

}  // namespace gemma4
