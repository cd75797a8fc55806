// What this machine can do at most, measured on the spot: the limits that a bench report divides
// by.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/linear_timing.h"
#include "lib/runtime/measured.h"

namespace gemma4 {

struct MachineLimits {
  std::string device;      // that the matrix rates are of
  Measured read_gb_per_s;  // 10^9 bytes, all threads reading a buffer larger than the caches
  /// 10^9 operations (a product and a sum are two) per second of Ops::linear, one large product.
  std::vector<std::pair<TimedFormat, Measured>> matmul_gflop_per_s;

  const Measured& matmul(TimedFormat format) const;
};

/// With the device, the threads and the exactness of activations that `options` name. Uses 1 GiB,
/// which is freed again, and some seconds.
MachineLimits measure_machine_limits(const EngineOptions& options);

}  // namespace gemma4
