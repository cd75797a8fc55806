// UTF-8: strict validation, decoding, and replacement of what is not valid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace gemma4 {

/// The code point at text[0], and how many bytes it takes. `length` 0: text is empty or does not
/// begin with a valid sequence (overlong forms, surrogates and values past U+10FFFF are invalid).
struct CodePoint {
  char32_t value = 0;
  size_t length = 0;
};
CodePoint decode_utf8(std::string_view text);

bool is_valid_utf8(std::string_view text);

/// True when `bytes` (at most 3) is a proper prefix of some valid sequence.
bool is_incomplete_utf8(std::string_view bytes);

/// Every maximal ill-formed subsequence becomes one U+FFFD, as the Unicode standard recommends
/// (3.9, U+FFFD substitution of maximal subparts). `replaced` counts them when not null.
std::string replace_invalid_utf8(std::string_view text, size_t* replaced = nullptr);

void append_utf8(std::string& out, char32_t code_point);

}  // namespace gemma4
