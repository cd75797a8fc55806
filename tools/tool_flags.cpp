#include "tools/tool_flags.h"

#include <fmt/format.h>

#include <cstdio>

#include "lib/base/error.h"
#include "tools/answer_json.h"
#include "tools/answer_printer.h"
#include "tools/command_line.h"
#include "tools/prompt.h"
#include "tools/terminal.h"

namespace gemma4 {

void ToolFlags::add_to(CLI::App& app, const std::string& group) {
  add_value(app, "--tools", file, "FILE", "a JSON array of functions that the model may call")
      ->group(group);
  add_value(app, "--tool-choice", choice, "auto|none|required|NAME",
            "none: declare no tools; required: at least one call;\nNAME: a call of this tool. "
            "Arguments always fit the\ntool's parameters")
      ->group(group);
  add_value(app, "--exec-tools", exec, "DIR",
            "run called tools: programs of their names in DIR, with\nthe arguments as JSON on "
            "standard input and the result\non standard output, until there is an answer")
      ->group(group);
  add_switch(app, "--yes", yes, "run tools without asking")->group(group);
  add_value(app, "--tool-timeout", timeout, "SECONDS", "time that a tool may take (60)")
      ->transform(seconds_between(0.1, 86400))
      ->group(group);
}

void ToolFlags::check(bool declared_elsewhere) const {
  const bool any = !file.empty() || declared_elsewhere;
  if (!choice.empty() && !any) {
    throw Error(ErrorKind::kUsage, "--tool-choice needs tools", {}, "add --tools FILE");
  }
  if (exec.empty()) {
    if (yes) throw Error(ErrorKind::kUsage, "--yes goes with --exec-tools only");
    return;
  }
  if (!any) throw Error(ErrorKind::kUsage, "--exec-tools needs tools", {}, "add --tools FILE");
  if (choice == "none") {
    throw Error(ErrorKind::kUsage, "--exec-tools and --tool-choice none exclude each other");
  }
  if (!yes && !(is_terminal(0) && is_terminal(2))) {
    throw Error(ErrorKind::kUsage, "nobody can be asked whether a tool may run", "--exec-tools",
                "add --yes to run tools without asking");
  }
}

Json ToolFlags::declared(StandardInput& standard_input) const {
  if (file.empty() || choice == "none") return Json::array();
  return checked_tools(read_json_input(file, standard_input), file);
}

std::unique_ptr<ToolPrograms> ToolFlags::programs(const Json& tools,
                                                  std::function<bool()> should_stop) const {
  if (exec.empty()) return nullptr;
  ToolPrograms::Options options;
  options.directory = exec;
  options.timeout_seconds = timeout;
  if (!yes) options.confirm = confirm_on_terminal;
  options.should_stop = std::move(should_stop);
  return std::make_unique<ToolPrograms>(std::move(options), tools);
}

void run_tool_calls(const ToolPrograms& programs, const GenerationResult& answer, bool quiet,
                    Json& messages,
                    const std::function<void(const ToolCall&, const Json& result)>& on_result) {
  Json message = answer_message(answer);
  // Text before a call is no answer, and the template would write it behind the results.
  message["content"] = nullptr;
  messages.push_back(message);
  for (size_t i = 0; i < answer.output.tool_calls.size(); ++i) {
    const ToolCall& call = answer.output.tool_calls[i];
    if (!quiet) fmt::print(stderr, "tool: {}", without_controls(tool_call_line(call)));
    Json result = programs.run(call);
    on_result(call, result);
    messages.push_back({{"role", "tool"},
                        {"tool_call_id", message["tool_calls"][i]["id"]},
                        {"name", call.name},
                        {"content", std::move(result)}});
  }
}

}  // namespace gemma4
