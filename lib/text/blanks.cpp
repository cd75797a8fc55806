#include "lib/text/blanks.h"

#include "lib/base/utf8.h"

namespace gemma4 {

// Spec tokenizer-chat.md, 4.2.
bool is_blank(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
         c == 0x202F || c == 0x205F || c == 0x3000;
}

std::string_view trim_right(std::string_view text) {
  while (!text.empty()) {
    size_t start = text.size() - 1;
    while (start > 0 && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    const CodePoint last = decode_utf8(text.substr(start));
    if (last.length != text.size() - start || !is_blank(last.value)) break;
    text.remove_suffix(last.length);
  }
  return text;
}

std::string_view trim_left(std::string_view text) {
  while (!text.empty()) {
    const CodePoint first = decode_utf8(text);
    if (first.length == 0 || !is_blank(first.value)) break;
    text.remove_prefix(first.length);
  }
  return text;
}

std::string_view trim(std::string_view text) { return trim_left(trim_right(text)); }

}  // namespace gemma4
