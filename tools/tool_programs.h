// --exec-tools: the tools that a model calls, as programs in one folder.
//
// A program gets the call's arguments as one JSON object on standard input and answers on standard
// output; what it writes to standard error is the user's to see. No shell takes part.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "lib/io/json.h"
#include "lib/text/output_parser.h"

namespace gemma4 {

/// Most bytes of a program's answer.
inline constexpr size_t kMaxToolOutput = size_t{1} << 20;

class ToolPrograms {
 public:
  struct Options {
    std::filesystem::path directory;
    double timeout_seconds = 60.0;
    /// Asked before a call; false: it is not made, and the model is told so. None: never asked.
    std::function<bool(const ToolCall& call)> confirm;
    /// Asked while a program runs; true ends it.
    std::function<bool()> should_stop;
  };

  /// Throws Error(kUsage) when the folder is none, or has no program for a tool of `tools`
  /// (declarations).
  ToolPrograms(Options options, const Json& tools);

  /// What the call gives, as content of a message with the role "tool": an object where the
  /// program writes one, else its text without the blanks at its end; {"error": "..."} for a call
  /// that is declined, of an unknown tool, fails (with what was written in "output"), takes too
  /// long or writes too much.
  Json run(const ToolCall& call) const;

 private:
  std::filesystem::path program_of(const std::string& name) const;

  Options options_;
  std::filesystem::path directory_;  // canonical
};

/// Asks on the terminal (standard error and standard input) whether a call may be made.
bool confirm_on_terminal(const ToolCall& call);

}  // namespace gemma4
