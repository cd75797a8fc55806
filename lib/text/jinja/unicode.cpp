#include "lib/text/jinja/unicode.h"

#include <algorithm>

#include "lib/base/utf8.h"
#include "lib/text/jinja/case_table.h"

namespace gemma4::jinja {
namespace {

char32_t map_code_point(std::span<const CaseRange> table, char32_t code_point) {
  const auto after =
      std::upper_bound(table.begin(), table.end(), code_point,
                       [](char32_t value, const CaseRange& range) { return value < range.first; });
  if (after == table.begin()) return code_point;
  const CaseRange& range = *(after - 1);
  if (code_point > range.last || (code_point - range.first) % range.step != 0) return code_point;
  return static_cast<char32_t>(static_cast<int32_t>(code_point) + range.delta);
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

template <typename Append>
std::string map_text(std::string_view text, Append append) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const CodePoint next = decode_utf8(text);
    if (next.length == 0) {
      out += text[0];
      text.remove_prefix(1);
      continue;
    }
    append(out, next.value);
    text.remove_prefix(next.length);
  }
  return out;
}

}  // namespace

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const CodePoint next = decode_utf8(text.substr(at));
    if (next.length == 0 || !is_space(next.value)) break;
    at += next.length;
  }
  return at;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t begin = end - 1;
    while (begin > 0 && end - begin < 4 && is_continuation(text[begin])) --begin;
    const CodePoint last = decode_utf8(text.substr(begin, end - begin));
    if (last.length != end - begin || !is_space(last.value)) break;
    end = begin;
  }
  return text.size() - end;
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

void append_upper(std::string& out, char32_t code_point) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point >= 'a' && code_point <= 'z' ? code_point - 32 : code_point);
    return;
  }
  for (const LongUpper& entry : long_upper_table()) {
    if (entry.from > code_point) break;
    if (entry.from != code_point) continue;
    for (const char32_t part : entry.to) {
      if (part != 0) append_utf8(out, part);
    }
    return;
  }
  append_utf8(out, map_code_point(upper_table(), code_point));
}

void append_lower(std::string& out, char32_t code_point) {
  if (code_point < 0x80) {
    out += static_cast<char>(code_point >= 'A' && code_point <= 'Z' ? code_point + 32 : code_point);
    return;
  }
  append_utf8(out, map_code_point(lower_table(), code_point));
  // The one letter whose lower case is two code points.
  if (code_point == 0x130) append_utf8(out, 0x307);
}

std::string to_upper(std::string_view text) { return map_text(text, append_upper); }
std::string to_lower(std::string_view text) { return map_text(text, append_lower); }

bool has_case(char32_t code_point) {
  std::string self, upper, lower;
  append_utf8(self, code_point);
  append_upper(upper, code_point);
  append_lower(lower, code_point);
  return upper != self || lower != self;
}

}  // namespace gemma4::jinja
