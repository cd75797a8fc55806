// Quantised keys and values. int8 and fp8 with one float32 scale a token and head, kept in an
// array of its own; and fp8 with one static scale a layer. Spec checkpoints-quant.md, 6.1 and 6.2
// (vllm v1/attention/ops/triton_reshape_and_cache_flash.py).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "lib/quant/fp8.h"

namespace gemma4 {

inline constexpr float kKvInt8Max = 127.0f;
inline constexpr float kKvFp8Max = 448.0f;

/// The scale of one head vector: absmax / max_code, at least 1e-6. The stored code is then of
/// x * (1 / scale), and the value is code * scale.
inline float kv_scale(std::span<const float> head, float max_code) {
  float absmax = 0.0f;
  for (const float x : head) absmax = std::max(absmax, std::fabs(x));
  return std::max(absmax / max_code, 1e-6f);
}

/// Rounds half away from zero.
inline int8_t to_kv_int8(float x, float inverse_scale) {
  const float v = x * inverse_scale;
  // In this order NaN becomes 127: the conversion of NaN is undefined.
  return static_cast<int8_t>(std::max(-128.0f, std::min(127.0f, v + std::copysign(0.5f, v))));
}

inline uint8_t to_kv_fp8(float x, float inverse_scale) { return to_fp8_e4m3(x * inverse_scale); }

/// fp8 with a checkpoint's static scale (1 without one): a division, unlike the dynamic form.
inline uint8_t to_kv_fp8_static(float x, float scale) { return to_fp8_e4m3(x / scale); }

}  // namespace gemma4
