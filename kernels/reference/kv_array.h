// A layer's keys or values of any format, one element or one head at a time.
#pragma once

#include "kernels/ops.h"
#include "lib/base/scalar_types.h"
#include "lib/quant/kv_format.h"

namespace gemma4::reference {

/// The keys or the values of a layer: head vectors [num_blocks, num_kv_heads, block_size].
struct KvArray {
  Dtype dtype;
  void* data;
  float* scales;
  float scale;
  int64_t head_dim;

  static KvArray keys(const KvLayer& l) {
    return {l.dtype, l.keys, l.key_scales, l.key_scale, l.head_dim};
  }
  static KvArray values(const KvLayer& l) {
    return {l.dtype, l.values, l.value_scales, l.value_scale, l.head_dim};
  }

  /// Element j of a head vector.
  float load(int64_t vector, int64_t j) const {
    const int64_t i = vector * head_dim + j;
    if (dtype == Dtype::kF32) return static_cast<const float*>(data)[i];
    if (dtype == Dtype::kBf16) return to_float(static_cast<const Bf16*>(data)[i]);
    if (dtype == Dtype::kI8) return static_cast<const int8_t*>(data)[i] * scales[vector];
    return from_fp8_e4m3(static_cast<const uint8_t*>(data)[i]) * scale;
  }

  void store(int64_t vector, const float* head) const {
    const int64_t first = vector * head_dim;
    if (dtype == Dtype::kI8) {
      scales[vector] = kv_scale({head, static_cast<size_t>(head_dim)}, kKvInt8Max);
    }
    for (int64_t j = 0; j < head_dim; ++j) {
      if (dtype == Dtype::kF32) static_cast<float*>(data)[first + j] = head[j];
      if (dtype == Dtype::kBf16) static_cast<Bf16*>(data)[first + j] = to_bf16(head[j]);
      if (dtype == Dtype::kI8) {
        static_cast<int8_t*>(data)[first + j] = to_kv_int8(head[j], 1.0f / scales[vector]);
      }
      if (dtype == Dtype::kF8E4M3) {
        static_cast<uint8_t*>(data)[first + j] = to_kv_fp8_static(head[j], scale);
      }
    }
  }
};

/// Which head vector of the arrays belongs to a slot.
inline int64_t kv_vector(const KvLayer& layer, int64_t slot, int64_t kv_head) {
  const int64_t block = slot / layer.block_size;
  return (block * layer.num_kv_heads + kv_head) * layer.block_size + slot % layer.block_size;
}

}  // namespace gemma4::reference
