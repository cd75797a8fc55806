// A manual page in roff, from a command's definition.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/command_tree.h"

namespace gemma4 {

/// The page of `command`, one of `all`. `sections` is roff written by hand, put before SEE ALSO.
std::string man_page(const CommandInfo& command, const std::vector<CommandInfo>& all,
                     const std::string& sections);

/// Text as roff shows it: no character of it is taken for a request or changed in print.
std::string roff_text(std::string_view text);

}  // namespace gemma4
