// Completions for shells, from the commands' definitions.
#pragma once

#include <string>
#include <vector>

#include "tools/command_tree.h"

namespace gemma4 {

// Each takes command_tree() and gives the text of the file that the shell loads.
std::string bash_completion(const std::vector<CommandInfo>& commands);
std::string zsh_completion(const std::vector<CommandInfo>& commands);
std::string fish_completion(const std::vector<CommandInfo>& commands);

}  // namespace gemma4
