// Every flag of `gemma4 bench`, and which of them go together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/runtime/bench_runner.h"
#include "tools/flags.h"

namespace gemma4 {

struct BenchFlags {
  ModelFlags model;
  OutputFlags output;

  std::vector<std::string> workloads;
  std::optional<int64_t> input_len;
  std::optional<int64_t> output_len;
  std::string batches = "1";
  std::string depths = "0";
  std::string dummy;  // a preset's name, or the path of a config.json
  int warmup = 1;
  int reps = 5;
  bool ops = false;
  bool load = false;
  bool env = false;
  bool anyway = false;
  std::string format = "table";
  std::string baseline;
  std::optional<double> max_regress;  // per cent

  void add_to(CLI::App& app);
  /// Throws Error(kUsage) for flags of which one could not take effect.
  void check() const;
  /// Every workload at every batch size and depth; none when only --ops, --load or --env is asked
  /// for.
  std::vector<BenchCellSpec> cells() const;
  /// The file that --dummy names. Throws Error(kUsage).
  std::filesystem::path preset() const;
  /// What the user calls the model.
  std::string model_name() const;
};

}  // namespace gemma4
