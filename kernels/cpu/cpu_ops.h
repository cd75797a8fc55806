// The CPU backend: own AVX2 and AVX-512 kernels, chosen by what the CPU has at run time, and
// oneDNN. Activations are float32; threads are those of lib/base/parallel.h.
#pragma once

#include <memory>

#include "kernels/ops.h"

namespace gemma4 {

/// What the kernels may use of what the CPU has.
enum class CpuLevel { kAvx2, kAvx512, kAvx512Vnni };

struct CpuOptions {
  /// Activations stay float32 in every product. Otherwise they are rounded to int8 in groups of 32
  /// where they meet a quantised weight.
  bool exact_activations = false;
  /// Tests run the kernels of lesser CPUs with this.
  CpuLevel at_most = CpuLevel::kAvx512Vnni;
};

/// Throws Error(kResource) on a CPU without AVX2, FMA and F16C.
std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options);

}  // namespace gemma4
