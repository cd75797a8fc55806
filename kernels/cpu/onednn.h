// Products of many rows by oneDNN: single precision on any CPU, and bfloat16 where AMX makes it
// the fastest.
#pragma once

#include <cstdint>

#include "kernels/cpu/bf16_kernels.h"

namespace gemma4::cpu {

/// out[m * ldo + n] = sum_k x[m * ldx + k] * w[n * ldw + k], on all threads.
void sgemm(int64_t m, int64_t n, int64_t k, const float* x, int64_t ldx, const float* w,
           int64_t ldw, float* out, int64_t ldo);

/// On the calling thread. Throws Error(kInternal) where oneDNN cannot, on a CPU without AVX-512.
void onednn_bf16_product(const Bf16Product& product);

}  // namespace gemma4::cpu
