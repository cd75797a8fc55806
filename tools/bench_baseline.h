// --baseline: how a report differs from an earlier one.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/io/json.h"

namespace gemma4 {

/// One field of one cell, by its medians.
struct Difference {
  std::string workload;
  int64_t batch = 0;
  int64_t depth = 0;
  std::string field;
  double before = 0.0;
  double now = 0.0;
  double worse_percent = 0.0;  // slower than before; below 0: faster
  /// Relative standard deviations of both sides' values, added as independent errors are.
  double noise_percent = 0.0;
};

/// TTFT, TPOT, prefill and decode rate of the cells of `now` that `before` has too: same workload,
/// batch, depth, weights and KV format; other differences are warned of. `origin` is the file of
/// `before`. Throws Error(kInput) when it is no report of schema gemma4.bench/1, or has no cell in
/// common.
std::vector<Difference> compare_reports(const Json& before, const Json& now,
                                        const std::string& origin);

}  // namespace gemma4
