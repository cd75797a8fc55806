// Small functions that kernels share.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/layout.h"
#include "kernels/cuda/warp_instructions.cuh"

namespace gemma4::cuda {

__device__ __forceinline__ float bf16_low(uint32_t pair) { return __uint_as_float(pair << 16); }
__device__ __forceinline__ float bf16_high(uint32_t pair) {
  return __uint_as_float(pair & 0xFFFF0000u);
}
__device__ __forceinline__ float bf16_value(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ __forceinline__ uint16_t to_bf16_bits(float value) {
  return static_cast<uint16_t>(pack_bf16(value, 0.0f) & 0xFFFFu);
}

__device__ __forceinline__ float warp_sum(float value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  }
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  }
  return value;
}

/// Sum over the block, given to every thread. `shared`: 33 floats that nothing else uses. The
/// block is a multiple of 32 threads.
__device__ __forceinline__ float block_sum(float value, float* shared) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  value = warp_sum(value);
  __syncthreads();  // those who read the last result are done
  if (threadIdx.x % 32 == 0) shared[warp] = value;
  __syncthreads();
  if (warp == 0) {
    const int warps = static_cast<int>(blockDim.x) / 32;
    float total = static_cast<int>(threadIdx.x) < warps ? shared[threadIdx.x] : 0.0f;
    total = warp_sum(total);
    if (threadIdx.x == 0) shared[32] = total;
  }
  __syncthreads();
  return shared[32];
}

/// gelu in its tanh form (spec text-decoder.md, 2.10).
__device__ __forceinline__ float gelu(float x) {
  const float inner = 0.7978845608028654f * (x + 0.044715f * x * x * x);
  // tanh(y) = 1 - 2 / (exp(2y) + 1) loses digits where gelu vanishes: 0.5 (1 + tanh) directly.
  return x / (1.0f + expf(-2.0f * inner));
}

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

}  // namespace gemma4::cuda
