// Elements of a KV cache of every format (lib/quant/kv_format.h, fp8.h).
#pragma once

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/device_math.cuh"

namespace gemma4::cuda {

/// Round to nearest, ties to even, saturating at +-448; what is no number stays so.
__device__ __forceinline__ uint8_t to_fp8(float value) {
  const uint32_t sign = __float_as_uint(value) >> 24 & 0x80u;
  if (value != value) return static_cast<uint8_t>(sign | 0x7Fu);
  const float magnitude = fminf(fabsf(value), 448.0f);
  if (magnitude < 0.015625f) {  // subnormal: the float adder rounds to multiples of 2^-9
    return static_cast<uint8_t>(sign | (__float_as_uint(magnitude + 16384.0f) & 0xFu));
  }
  uint32_t bits = __float_as_uint(magnitude);
  bits += 0x7FFFFu + (bits >> 20 & 1u);
  return static_cast<uint8_t>(sign | ((bits >> 20) - (120u << 3)));
}

__device__ __forceinline__ float from_fp8(uint32_t code) {
  const uint32_t sign = (code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7Fu;
  if (magnitude == 0x7Fu) return __uint_as_float(sign | 0x7FC00000u);
  if (magnitude < 8u) {
    return __uint_as_float(sign | __float_as_uint(static_cast<float>(magnitude) * 0.001953125f));
  }
  return __uint_as_float(sign | ((magnitude << 20) + (120u << 23)));
}

/// A coded value (kI8, kF8E4M3) before its scale.
__device__ __forceinline__ float coded_value(KvType type, uint32_t code) {
  if (type == KvType::kI8) return static_cast<float>(static_cast<int8_t>(code));
  return from_fp8(code);
}

/// The scale of head vector `vector` of a coded array.
__device__ __forceinline__ float vector_scale(const KvArray& array, KvType type, int64_t vector) {
  return type == KvType::kI8 ? array.scales[vector] : __uint_as_float(array.scale_bits);
}

/// Which head vector of the arrays holds a position.
__device__ __forceinline__ int64_t head_vector(const KvView& kv, int32_t row, int32_t position,
                                               int32_t kv_head) {
  const int64_t slot = slot_of(kv.page_table + 2 * row, kv.pages, kv.block_size, position);
  return (slot / kv.block_size * kv.num_kv_heads + kv_head) * kv.block_size + slot % kv.block_size;
}

}  // namespace gemma4::cuda
