// The CPU backend: own AVX2 and AVX-512 kernels, chosen by what the CPU has at run time, and
// oneDNN. Activations are float32; threads are those of lib/base/parallel.h.
#pragma once

#include <memory>
#include <optional>

#include "kernels/cpu/product_choice.h"
#include "kernels/ops.h"

namespace gemma4 {

/// What the kernels may use of what the CPU has.
enum class CpuLevel { kAvx2, kAvx512, kAvx512Vnni, kAvx512Bf16 };

struct CpuOptions {
  /// Activations stay float32 in every product. Otherwise they are rounded to int8 in groups of 32
  /// where they meet a quantised weight, and to bf16 where they meet a bf16 weight on a CPU that
  /// multiplies bf16 faster.
  bool exact_activations = false;
  /// Tests run the kernels of lesser CPUs with this.
  CpuLevel at_most = CpuLevel::kAvx512Bf16;
  /// How products with bf16 weights are computed unless activations are exact; nothing: the fastest
  /// by measurement. Tests and measurements ask for one.
  std::optional<cpu::ProductPath> bf16_products = std::nullopt;
};

/// Throws Error(kResource) on a CPU without AVX2, FMA and F16C, or without what bf16_products
/// needs.
std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options);

}  // namespace gemma4
