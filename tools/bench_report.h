// What `gemma4 bench` found, and the machine formats of it: JSON (schema gemma4.bench/1), JSON
// lines, CSV.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/io/json.h"
#include "lib/runtime/bench_load.h"
#include "lib/runtime/bench_ops.h"
#include "lib/runtime/bench_runner.h"
#include "lib/runtime/environment.h"
#include "tools/bench_baseline.h"

namespace gemma4 {

struct BenchReport {
  Environment environment;
  bool busy = false;  // measured all the same
  MachineLimits limits;
  std::string model;  // empty: none
  std::string model_hash;
  std::string device;
  int threads = 0;
  std::string weights;
  std::string lm_head;
  std::string kv_cache_dtype;
  std::string draft = "off";  // as asked for; "off" also when there was none
  std::string draft_tokens;   // empty: no drafts
  bool exact_activations = false;
  std::vector<BenchCell> cells;
  std::vector<OpTiming> ops;
  std::optional<LoadTimes> load;
  std::vector<Difference> differences;  // to --baseline
};

/// One object; "ops", "load" and "baseline" only when they were asked for.
Json report_json(const BenchReport& report);
/// First a line of schema, env and limits, then one line a cell, operation, load and difference.
std::string report_jsonl(const BenchReport& report);
/// A line a cell: its settings, the median of each field, p99 and mean of the times, the machine.
/// The acceptance by position is one field, with blanks between the numbers.
std::string report_csv(const BenchReport& report);

}  // namespace gemma4
