// The escapes of string literals in templates: those of Python.
#pragma once

#include <string>
#include <string_view>

namespace gemma4::jinja {

/// The value of what stands between the quotes. A backslash before a character without a meaning
/// stays. Throws SyntaxFailure on malformed \x, \u and \U and on \N.
std::string string_literal_value(std::string_view inner, int line);

}  // namespace gemma4::jinja
