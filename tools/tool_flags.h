// --tools and what may be done with them; in run, chat and batches.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "lib/runtime/constraints.h"
#include "lib/runtime/generation.h"
#include "tools/text_input.h"
#include "tools/tool_programs.h"

namespace CLI {
class App;
}

namespace gemma4 {

struct ToolFlags {
  std::string file;    // declarations, a JSON array
  std::string choice;  // auto, none, required or a name
  std::string exec;    // folder of programs
  bool yes = false;
  double timeout = 60.0;  // seconds, of one program

  void add_to(CLI::App& app, const std::string& group);
  /// `declared_elsewhere`: tools may come with messages or requests. Throws Error(kUsage) for flags
  /// that cannot take effect.
  void check(bool declared_elsewhere) const;

  ToolChoice tool_choice() const { return tool_choice_from(choice); }
  /// The tools of the file; none without a file and for the choice "none".
  Json declared(StandardInput& standard_input) const;
  /// The programs of `tools`; null without --exec-tools.
  std::unique_ptr<ToolPrograms> programs(const Json& tools,
                                         std::function<bool()> should_stop) const;
};

/// Most times that a model may call tools before it answers.
inline constexpr int kMaxToolRounds = 32;

/// Context that is planned for calls and their results, beside the first prompt and answer.
inline constexpr int64_t kToolContext = 8192;

/// Runs the calls of an answer, and adds the answer and their results to `messages`. Each result is
/// told to `on_result`. Shown on standard error: the calls, unless `quiet`.
void run_tool_calls(const ToolPrograms& programs, const GenerationResult& answer, bool quiet,
                    Json& messages,
                    const std::function<void(const ToolCall&, const Json& result)>& on_result);

}  // namespace gemma4
