// Quantisers: a plain matrix to a QuantizedMatrix with the bytes that compressed-tensors writes
// (pack-quantized). Deterministic: the same bytes for any number of threads.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/base/tensor.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4 {

/// How codes and scales of 4-bit groups are found.
enum class RoundingRule : uint8_t {
  kMinMax,  // from the smallest and largest value of each group (compressed-tensors' rule)
  kGrid,    // copy the grid of a QAT checkpoint; a matrix that lies on none is an error
  kAuto,    // the grid where the matrix lies on one, else min-max
};

struct QuantizeFormat {
  int bits = 8;            // 2, 4 or 8
  int64_t group_size = 0;  // 0: one scale a row; a row shorter than a group has one scale
  bool symmetric = true;
  RoundingRule rule = RoundingRule::kMinMax;
};

/// int8, one scale a row, absmax / 127.5 (ruling 10).
inline constexpr QuantizeFormat kInt8PerChannel{.bits = 8};
/// int4, symmetric, one scale for 32 columns, on the QAT grid where there is one (ruling 11).
inline constexpr QuantizeFormat kInt4Group32{
    .bits = 4, .group_size = 32, .rule = RoundingRule::kAuto};

struct QuantizeResult {
  std::shared_ptr<const QuantizedMatrix> matrix;  // owns its bytes
  double relative_error = 0.0;                    // rms(W - dequantised) / rms(W)
  double squares = 0.0;                           // sum of W^2
  double on_grid = 0.0;  // share of groups on a 4-bit grid, of a sample when it is no QAT matrix
  bool used_grid = false;
};

/// Quantises `weight` [rows, cols] (F32, BF16 or F16, any alignment). Scales have its dtype T, and
/// every operation of the min-max rule is rounded to T, as compressed-tensors does:
///   symmetric   s = T(absmax / ((2^b - 1) / 2)), 0 -> epsilon(T); q = rint(clamp(T(x / s)))
///   asymmetric  s = T(T(hi - lo) / (2^b - 1)); z = rint(clamp(T(qmin - T(lo / s))));
///               q = rint(clamp(T(T(x / s) + z)))
/// Grid rule: see lib/quant/grid.h. Runs on all threads. `name` is that of the tensor, for
/// errors: Error(kModel) for a NaN or infinite weight, a group size that does not divide the
/// columns, or kGrid on a matrix that is on no grid.
QuantizeResult quantize(const Tensor& weight, const QuantizeFormat& format,
                        const std::string& name);

}  // namespace gemma4
