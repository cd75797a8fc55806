#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

struct LeadByte {
  size_t length;      // 0: not a lead byte
  unsigned char low;  // range of the second byte
  unsigned char high;
};

// Unicode 15, table 3-7: well-formed UTF-8 byte sequences.
LeadByte lead_byte(unsigned char byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Length of the longest prefix of `text` that could begin a valid sequence, and the length that
// sequence would have.
struct Prefix {
  size_t matched;
  size_t wanted;
};

Prefix match_prefix(std::string_view text) {
  if (text.empty()) return {0, 0};
  const LeadByte lead = lead_byte(static_cast<unsigned char>(text[0]));
  if (lead.length == 0) return {0, 0};
  size_t matched = 1;
  while (matched < lead.length && matched < text.size()) {
    const auto byte = static_cast<unsigned char>(text[matched]);
    const unsigned char low = matched == 1 ? lead.low : 0x80;
    const unsigned char high = matched == 1 ? lead.high : 0xBF;
    if (byte < low || byte > high) break;
    ++matched;
  }
  return {matched, lead.length};
}

}  // namespace

CodePoint decode_utf8(std::string_view text) {
  const Prefix prefix = match_prefix(text);
  if (prefix.wanted == 0 || prefix.matched != prefix.wanted) return {};
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  if (prefix.wanted == 1) return {byte(0), 1};
  char32_t value = byte(0) & (0x7Fu >> prefix.wanted);
  for (size_t i = 1; i < prefix.wanted; ++i) value = (value << 6) | (byte(i) & 0x3Fu);
  return {value, prefix.wanted};
}

bool is_valid_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = decode_utf8(text).length;
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_incomplete_utf8(std::string_view bytes) {
  const Prefix prefix = match_prefix(bytes);
  return prefix.matched == bytes.size() && prefix.matched < prefix.wanted;
}

std::string replace_invalid_utf8(std::string_view text, size_t* replaced) {
  std::string out;
  out.reserve(text.size());
  size_t count = 0;
  while (!text.empty()) {
    const Prefix prefix = match_prefix(text);
    if (prefix.wanted != 0 && prefix.matched == prefix.wanted) {
      out += text.substr(0, prefix.wanted);
      text.remove_prefix(prefix.wanted);
    } else {
      out += kReplacement;
      ++count;
      text.remove_prefix(prefix.matched == 0 ? 1 : prefix.matched);
    }
  }
  if (replaced != nullptr) *replaced = count;
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace gemma4
