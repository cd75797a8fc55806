// The GPU instructions that CUDA C++ has no name for, one function each. PTX ISA, chapter 9.7.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace gemma4::cuda {

template <typename T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ uint4 gemma4_dynamic_shared[];
  return reinterpret_cast<T*>(gemma4_dynamic_shared);
}

/// Waits until the kernels launched before have written all they write. Every kernel calls it
/// before it reads or writes anything but weights: it may have been started while they still ran.
__device__ __forceinline__ void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start its threads while this one still runs.
__device__ __forceinline__ void release_next() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/// c += a b: a [16, 16], b [16, 8] bfloat16, c [16, 8] float32; fragments as in layout.h.
__device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                         uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// Four 8 x 8 blocks of 2-byte elements, transposed: lanes 8i ... 8i+7 give the addresses (16-byte
/// aligned shared memory) of the rows of block i; r[i] of a lane holds its elements
/// (2 (lane % 4), lane / 4) and (2 (lane % 4) + 1, lane / 4).
__device__ __forceinline__ void load_transposed(uint32_t (&r)[4], const void* row) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

/// Starts a copy of 16 bytes from global to shared memory, both 16-byte aligned; of zeros when
/// not `valid` (`from` must still be an address).
__device__ __forceinline__ void copy_async(void* to, const void* from, bool valid) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
/// Waits until at most kPending of the groups committed by this thread are under way.
template <int kPending>
__device__ __forceinline__ void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

__device__ __forceinline__ uint32_t bits(__nv_bfloat162 pair) {
  return *reinterpret_cast<const uint32_t*>(&pair);
}
__device__ __forceinline__ __nv_bfloat162 pair_of(uint32_t value) {
  return *reinterpret_cast<const __nv_bfloat162*>(&value);
}
/// Pairs of bfloat16 in one word, the first in the low half. Results are rounded to nearest even.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  return bits(__floats2bfloat162_rn(low, high));
}
__device__ __forceinline__ uint32_t subtract_bf16(uint32_t a, uint32_t b) {
  return bits(__hsub2(pair_of(a), pair_of(b)));
}
__device__ __forceinline__ uint32_t multiply_bf16(uint32_t a, uint32_t b) {
  return bits(__hmul2(pair_of(a), pair_of(b)));
}

}  // namespace gemma4::cuda
