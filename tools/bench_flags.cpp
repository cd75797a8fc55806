#include "tools/bench_flags.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/io/share_files.h"
#include "tools/command_line.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(Prompts are random token ids, answers are greedy and have the full length. Tables show medians.
TTFT: prompt in hand to first token. TPOT: (last - first token) / (tokens - 1). ITL: each gap.
Share of limit: bytes of weights and KV per token, times tok/s, over the read bandwidth measured in
the same run; for the prompt, operations over the matrix rate measured in the same run.

With --draft each run is repeated without drafts. Accepted length: tokens that a step with drafts
gives. Speed-up: decoding time without drafts over that with them.

A diffusion model writes blocks: TTFT is the time to the first one, and steps are counted a block.
Random weights take all the steps that the model allows.

Examples:
  gemma4 bench -m e2b
  gemma4 bench -m e2b --draft auto --draft-tokens 3
  gemma4 bench --dummy 31b --weights int4 --workload 512/128 --depth 0,4096
  gemma4 bench -m e4b --workload balanced --batch 1,8 --format json -o new.json
  gemma4 bench -m e4b --baseline old.json --max-regress 5

)";

// "1,16,32"
std::vector<int64_t> parse_counts(const std::string& flag, const std::string& text, int64_t minimum,
                                  int64_t maximum) {
  std::vector<int64_t> counts;
  const CLI::Validator check = count_between(minimum, maximum);
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::string piece = text.substr(begin, end - begin);
    const std::string complaint = check(piece);
    if (!complaint.empty()) {
      throw Error(ErrorKind::kUsage, flag + ": " + complaint, {}, "see gemma4 bench --help");
    }
    counts.push_back(std::stoll(piece));
    begin = end + 1;
  }
  return counts;
}

}  // namespace

void BenchFlags::add_to(CLI::App& app) {
  const char* group = "Work";
  constexpr int64_t kMost = int64_t{1} << 31;
  add_list(app, "--workload", workloads, "NAME|IN/OUT",
           "prompt-heavy 8000/1000, decode-heavy 1000/8000,\nbalanced 1000/1000, chat 256/128 (the "
           "default),\nor tokens of prompt/answer (repeatable)")
      ->group(group);
  add_value(app, "--input-len", input_len, "N", "one workload: tokens of the prompt")
      ->transform(count_between(1, kMost))
      ->group(group);
  add_value(app, "--output-len", output_len, "N", "and of the answer")
      ->transform(count_between(1, kMost))
      ->group(group);
  add_value(app, "--batch", batches, "N,...", "sequences at a time; default 1")->group(group);
  add_value(app, "--depth", depths, "N,...",
            "tokens that each sequence holds before its prompt\ncomes; default 0")
      ->group(group);
  add_value(app, "--dummy", dummy, "PRESET",
            "random weights of the true shape instead of -m:\ne2b e4b 12b 26b-a4b 31b "
            "diffusiongemma-26b-a4b,\nor the path of a config.json")
      ->group(group);
  add_value(app, "--warmup", warmup, "N", "runs that are not counted; default 1")
      ->transform(count_between(0, 1 << 20))
      ->group(group);
  add_value(app, "--reps", reps, "N", "runs that are; default 5")
      ->transform(count_between(1, 1 << 20))
      ->group(group);
  add_switch(app, "--ops", ops, "every linear map of the model on its own, against the\nlimits")
      ->group(group);
  add_switch(app, "--load", load, "cold and warm load, up to the first token of a short\nprompt")
      ->group(group);
  add_switch(app, "--env", env, "only the machine and its limits; needs no model")->group(group);
  add_switch(app, "--anyway", anyway, "measure although the machine is busy with other work")
      ->group(group);
  group = "Report";
  add_value(app, "--format", format, "NAME", "table json jsonl csv markdown vllm; default table")
      ->check(CLI::IsMember({"table", "json", "jsonl", "csv", "markdown", "vllm"}))
      ->group(group);
  add_value(app, "--baseline", baseline, "FILE", "show the difference to a report of --format json")
      ->group(group);
  add_value(app, "--max-regress", max_regress, "PCT",
            "with --baseline: exit 7 when a median got worse by\nmore per cent")
      ->check(number_between(0, 1e6))
      ->group(group);
  output.add_to(app);
  model.add_to(app);
  app.footer(std::string(kExamples) +
             "Exit codes: 0 done, 1 internal failure, 2 usage, 3 model, 4 input, 5 memory, device, "
             "disk or busy\nmachine, 7 slower than the baseline, 130 interrupted, 143 terminated.");
}

void BenchFlags::check() const {
  const auto refuse = [](const std::string& what) {
    throw Error(ErrorKind::kUsage, what, {}, "see gemma4 bench --help");
  };
  const bool lengths = input_len.has_value() || output_len.has_value();
  if (input_len.has_value() != output_len.has_value()) {
    refuse("--input-len and --output-len go together");
  }
  if (lengths && !workloads.empty()) refuse("--workload and --input-len exclude each other");
  if (!dummy.empty() && !model.model.empty()) refuse("--model and --dummy exclude each other");
  if (load && !dummy.empty()) refuse("--load and --dummy exclude each other: there is no file");
  if (max_regress && baseline.empty()) refuse("--max-regress needs --baseline");
  const bool no_cells = cells().empty();
  if (env && (ops || load || lengths || !workloads.empty() || !dummy.empty() || model.plan)) {
    refuse("--env measures no model: it goes with no other work");
  }
  if (no_cells && model.draft != "off") refuse("--draft needs a workload");
  if (!dummy.empty() && model.draft == "auto") refuse("--draft auto needs -m: name the assistant");
  if (no_cells && !baseline.empty()) refuse("--baseline needs a workload");
  if (no_cells && model.plan) refuse("--plan needs a workload");
  if (no_cells && (format == "csv" || format == "vllm")) {
    refuse("--format " + format + " has workloads only");
  }
}

std::vector<BenchCellSpec> BenchFlags::cells() const {
  std::vector<Workload> all;
  for (const std::string& text : workloads) all.push_back(parse_workload(text));
  if (input_len && output_len) {
    all.push_back(parse_workload(std::to_string(*input_len) + "/" + std::to_string(*output_len)));
  }
  if (all.empty() && !ops && !load && !env) all.push_back(parse_workload("chat"));
  std::vector<BenchCellSpec> cells;
  for (const int64_t depth : parse_counts("--depth", depths, 0, int64_t{1} << 31)) {
    for (const int64_t batch : parse_counts("--batch", batches, 1, 4096)) {
      for (const Workload& workload : all) cells.push_back({workload, batch, depth});
    }
  }
  return cells;
}

std::filesystem::path BenchFlags::preset() const {
  if (dummy.ends_with(".json")) return dummy;
  for (const char* name : {"e2b", "e4b", "12b", "26b-a4b", "31b", "diffusiongemma-26b-a4b"}) {
    if (dummy == name) return share_file("models/" + dummy + ".json");
  }
  throw Error(ErrorKind::kUsage, "unknown preset", dummy,
              "use e2b, e4b, 12b, 26b-a4b, 31b, diffusiongemma-26b-a4b or the path of a "
              "config.json");
}

std::string BenchFlags::model_name() const {
  if (env) return {};
  return dummy.empty() ? model.name() : "dummy " + dummy;
}

}  // namespace gemma4
