// Text without the white space at its ends, as Python's str.strip() counts it (spec 4.2).
#pragma once

#include <string_view>

#include "lib/text/jinja/unicode.h"

namespace gemma4 {

inline std::string_view trim_left(std::string_view text) {
  return text.substr(jinja::leading_space(text));
}

inline std::string_view trim_right(std::string_view text) {
  return text.substr(0, text.size() - jinja::trailing_space(text));
}

inline std::string_view trim(std::string_view text) { return trim_left(trim_right(text)); }

}  // namespace gemma4
