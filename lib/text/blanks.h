// White space as Python's str.strip() counts it, which the chat format is defined by.
#pragma once

#include <string_view>

namespace gemma4 {

bool is_blank(char32_t code_point);

/// `text` without blanks at its end, at its start, at both. Valid UTF-8 expected.
std::string_view trim_right(std::string_view text);
std::string_view trim_left(std::string_view text);
std::string_view trim(std::string_view text);

}  // namespace gemma4
