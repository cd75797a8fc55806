// Products of bfloat16 weights, read in place, with activations rounded to bfloat16, by the dot
// product instruction of AVX512-BF16.
//
// The instruction (vdpbf16ps) adds two products to a float32 sum, rounds to nearest even whatever
// MXCSR says, and takes denormal operands for 0 and turns denormal results into 0: terms and sums
// below 2^-126 in size vanish. Infinities and NaN behave as in float32.
#pragma once

#include <cstdint>

namespace gemma4::cpu {

/// Columns that one accumulator register takes at a time.
inline constexpr int64_t kBf16Lanes = 32;

/// out[m * ldo + n] = sum_k x[m * ldx + k] * w[n * ldw + k]; bfloat16 bits, strides in elements.
struct Bf16Product {
  const uint16_t* x;  // rows are followed by zeros up to a multiple of kBf16Lanes
  int64_t ldx;
  int64_t m;
  const uint16_t* w;
  int64_t ldw;
  int64_t n;
  int64_t k;
  float* out;
  int64_t ldo;
};

/// Any m, on one thread. Every sum adds its terms in one order, which k alone decides: a row's
/// result does not depend on m, n or the rows beside it.
void bf16_product_avx512bf16(const Bf16Product& product);

}  // namespace gemma4::cpu
