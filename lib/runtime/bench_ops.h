// `bench --ops`: every linear map of a model on its own, against the limits of the machine.
#pragma once

#include <functional>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/machine_limits.h"
#include "lib/runtime/model_work.h"

namespace gemma4 {

struct OpTiming {
  LinearOp op;
  TimedFormat format = TimedFormat::kBf16;
  ProductReport product;         // how the backend computes it
  Measured decode_ms;            // one row, weights from memory
  Measured decode_gb_per_s;      // of weights
  Measured share_of_bandwidth;   // of that
  Measured prefill_gflop_per_s;  // 512 rows
  Measured share_of_matmul;      // of that
};

/// Random weights in the formats that `options.weights` asks for. Throws Error(kUsage) when a
/// quantised checkpoint decides by layer.
std::vector<OpTiming> time_ops(const EngineOptions& options, const MachineLimits& limits,
                               int repetitions,
                               const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace gemma4
