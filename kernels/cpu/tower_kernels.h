// The part of kernel_table.h that only the towers' operations use; its rules apply.
#pragma once

#include <cstdint>

namespace gemma4::cpu {

/// The towers' own, beside RowKernels: one row at a time, or flat arrays; `out` may be any of the
/// inputs.
struct TowerKernels {
  /// out = min(max(x, low), high)
  void (*clamp)(const float* x, float low, float high, int64_t count, float* out);
  /// out = x * sigmoid(x)
  void (*silu)(const float* x, int64_t count, float* out);
  /// out = value * sigmoid(gate)
  void (*glu)(const float* value, const float* gate, int64_t count, float* out);
  /// out = (x - mean) / sqrt(variance + eps) * weight + bias (null: 0), then max(floor, out).
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float eps, float floor,
                     int64_t cols, float* out);
  /// y += a * b
  void (*multiply_add)(const float* a, const float* b, int64_t count, float* y);
};

TowerKernels tower_kernels_avx2();
TowerKernels tower_kernels_avx512();

}  // namespace gemma4::cpu
