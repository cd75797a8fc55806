// Activation quantisation that a checkpoint defines: symmetric int8, dynamic per token
// (compressed-tensors) or static per tensor (Gemma mobile, spec checkpoints-quant.md 4.4).
//
// `compute` is the dtype that every operation is rounded to: F32 in this engine, whose activations
// are float32; BF16 reproduces transformers on a bfloat16 model.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

#include "lib/quant/rounding.h"

namespace gemma4 {

/// rint(clamp(x / scale, -128, 127)), ties to even.
inline int8_t quantize_int8(float x, float scale, Dtype compute = Dtype::kF32) {
  const float scaled = round_to(compute, x / scale);
  return static_cast<int8_t>(std::nearbyint(std::clamp(scaled, -128.0f, 127.0f)));
}

/// The scale of one token's activations: absmax / 127.5, never 0.
inline float dynamic_int8_scale(std::span<const float> token, Dtype compute = Dtype::kF32) {
  float absmax = 0.0f;
  for (const float x : token) absmax = std::max(absmax, std::fabs(x));
  const float scale = round_to(compute, absmax / 127.5f);
  return scale == 0.0f ? epsilon_of(compute) : scale;
}

/// x as static int8 leaves it; a scale of 0 means "not calibrated" and leaves x alone.
inline float static_range_quantize(float x, float scale, Dtype compute = Dtype::kF32) {
  const float s = round_to(compute, scale);
  if (s == 0.0f) return x;
  return round_to(compute, static_cast<float>(quantize_int8(x, s, compute)) * s);
}

}  // namespace gemma4
