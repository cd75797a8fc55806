// The commands and flags as plain data, read from the one CLI11 definition: what man pages and
// shell completions are written from.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace gemma4 {

/// Which paths complete a value.
enum class Paths { kNone, kFiles, kFolders };

struct FlagInfo {
  std::vector<std::string> names;  // "-q", "--quiet", with the dashes
  std::vector<std::string> twins;  // "--no-quiet"
  std::string group;               // heading on the help page
  std::string help;                // one line
  std::string value;               // its name in the help, "FILE"; empty: a switch
  bool repeatable = false;
  std::vector<std::string> choices;  // words that the value may be
  Paths paths = Paths::kNone;
};

struct CommandInfo {
  std::string name;  // "run"; empty for the program itself
  std::string description;
  std::string usage;  // "gemma4 run [OPTIONS] [PROMPT...]"
  std::vector<FlagInfo> arguments;
  std::vector<FlagInfo> flags;
  // The parts of the text below the flags; lines are kept.
  std::string notes;
  std::string examples;
  std::string exit_codes;

  /// "gemma4-run": the name of its page.
  std::string page() const { return name.empty() ? "gemma4" : "gemma4-" + name; }
};

/// The program first, then its subcommands in the order of its help; hidden ones are left out.
/// Nothing is changed: CLI11 shows what a flag accepts only where it could be.
/// Throws Error(kInternal) where the help shows other choices than the flag takes.
std::vector<CommandInfo> command_tree(CLI::App& program);

}  // namespace gemma4
