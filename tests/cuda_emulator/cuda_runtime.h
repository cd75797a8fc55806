// In place of CUDA's header: as much of the runtime and of CUDA C++ as kernels/cuda uses, on the
// CPU.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tests/cuda_emulator/cuda_runtime_api.h"
#include "tests/cuda_emulator/emulator.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)

#define threadIdx (cuda_emulator::thread_index())
#define blockIdx (cuda_emulator::block_index())
#define blockDim (cuda_emulator::block_size())
#define gridDim (cuda_emulator::grid_size())

using std::max;
using std::min;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }

template <typename T>
T __ldg(const T* address) {
  if (reinterpret_cast<uintptr_t>(address) % sizeof(T) != 0) {
    cuda_emulator::fail("a load is not aligned");
  }
  return *address;
}
inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}
inline void __syncthreads() { cuda_emulator::block_barrier(); }
inline void __syncwarp() {
  char none = 0;
  cuda_emulator::together<char>(none, [](char(&)[32]) {});
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  return cuda_emulator::shuffle_xor(value, mask);
}
template <typename T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to += value;
  return before;
}
inline int atomicMin(int* to, int value) {
  const int before = *to;
  *to = std::min(before, value);
  return before;
}
