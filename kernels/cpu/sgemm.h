// Single-precision products of many rows, by oneDNN.
#pragma once

#include <cstdint>

namespace gemma4::cpu {

/// out[m * ldo + n] = sum_k x[m * ldx + k] * w[n * ldw + k], on all threads.
void sgemm(int64_t m, int64_t n, int64_t k, const float* x, int64_t ldx, const float* w,
           int64_t ldw, float* out, int64_t ldo);

}  // namespace gemma4::cpu
