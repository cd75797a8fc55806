#include "lib/text/jinja/string_literal.h"

#include <charconv>

#include "lib/base/utf8.h"
#include "lib/text/jinja/lexer.h"

namespace gemma4::jinja {
namespace {

bool is_octal(char c) { return c >= '0' && c <= '7'; }

// Reads `digits` hexadecimal digits at `at` and moves it behind them.
char32_t read_hex(std::string_view text, size_t& at, size_t digits, int line) {
  uint32_t value = 0;
  const std::string_view part = text.substr(std::min(at, text.size()), digits);
  const auto parsed = std::from_chars(part.data(), part.data() + part.size(), value, 16);
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (part.size() != digits || parsed.ptr != part.data() + digits || value > 0x10FFFF ||
      is_surrogate) {
    throw SyntaxFailure("bad character escape in a string", line);
  }
  at += digits;
  return value;
}

char32_t read_octal(std::string_view text, size_t& at) {
  char32_t value = 0;
  for (int i = 0; i < 3 && at < text.size() && is_octal(text[at]); ++i, ++at) {
    value = value * 8 + static_cast<char32_t>(text[at] - '0');
  }
  return value;
}

}  // namespace

std::string string_literal_value(std::string_view inner, int line) {
  constexpr std::string_view kNames = "\\'\"abfnrtv";
  constexpr std::string_view kValues = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  for (size_t at = 0; at < inner.size();) {
    if (inner[at] != '\\' || at + 1 >= inner.size()) {
      out += inner[at++];
      continue;
    }
    const char letter = inner[at + 1];
    at += 2;
    const size_t known = kNames.find(letter);
    if (known != std::string_view::npos) {
      out += kValues[known];
    } else if (letter == 'x') {
      append_utf8(out, read_hex(inner, at, 2, line));
    } else if (letter == 'u') {
      append_utf8(out, read_hex(inner, at, 4, line));
    } else if (letter == 'U') {
      append_utf8(out, read_hex(inner, at, 8, line));
    } else if (letter == 'N') {
      throw SyntaxFailure("character names (\\N{...}) are not supported in strings", line);
    } else if (is_octal(letter)) {
      --at;
      append_utf8(out, read_octal(inner, at));
    } else if (letter != '\n') {  // a backslash at the end of a line joins the lines
      out += '\\';
      out += letter;
    }
  }
  return out;
}

}  // namespace gemma4::jinja
