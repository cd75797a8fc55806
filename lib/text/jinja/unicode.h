// Python's notion of white space and letter case, for filters and methods of strings.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace gemma4::jinja {

/// What str.strip() removes: U+0009-000D, U+001C-0020, U+0085, U+00A0 and Unicode's other
/// separators that are spaces.
bool is_space(char32_t code_point);

/// Bytes of white space at the beginning and at the end of valid UTF-8.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

/// Number of code points of valid UTF-8.
size_t count_code_points(std::string_view text);

/// Upper or lower case with Unicode's full mappings ("ß" becomes "SS"), without those that
/// depend on context or language.
void append_upper(std::string& out, char32_t code_point);
void append_lower(std::string& out, char32_t code_point);
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);

/// True when one of the two mappings changes the code point.
bool has_case(char32_t code_point);

}  // namespace gemma4::jinja
