// What may be done to a stream that may be a terminal.
#pragma once

#include <string>
#include <string_view>

namespace gemma4 {

bool is_terminal(int descriptor);

/// `when`: auto (a terminal, NO_COLOR unset, TERM not dumb), always or never.
bool uses_color(int descriptor, std::string_view when);

/// True where lines may be redrawn: a terminal, NO_COLOR unset, TERM not dumb.
bool redraws(int descriptor);

/// `text` dimmed; empty text stays empty.
std::string dimmed(std::string_view text);

/// `text` (valid UTF-8) without the control characters that a terminal would obey: only newlines
/// and tabs stay.
std::string without_controls(std::string_view text);

}  // namespace gemma4
