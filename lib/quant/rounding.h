// Arithmetic "in a dtype", as PyTorch does it on 16-bit tensors: a float32 operation whose result
// is rounded to the dtype. Quantisers and their goldens are defined in these terms.
#pragma once

#include "lib/base/scalar_types.h"
#include "lib/base/tensor.h"

namespace gemma4 {

/// `value` rounded to nearest even in F32, BF16 or F16.
inline float round_to(Dtype dtype, float value) {
  if (dtype == Dtype::kBf16) return round_to_bf16(value);
  if (dtype == Dtype::kF16) return to_float(to_f16(value));
  return value;
}

/// To the nearest integer, ties to even, for |value| < 2^22: the float adder rounds.
inline float round_half_even(float value) { return (value + 0x1.8p23f) - 0x1.8p23f; }

/// The distance from 1 to the next number: the scale that stands in for 0.
inline float epsilon_of(Dtype dtype) {
  if (dtype == Dtype::kBf16) return 0x1p-7f;
  if (dtype == Dtype::kF16) return 0x1p-10f;
  return 0x1p-23f;
}

}  // namespace gemma4
