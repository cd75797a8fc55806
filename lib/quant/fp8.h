// FP8 E4M3FN: sign, 4 exponent bits (bias 7), 3 mantissa bits. Largest value 448 (0x7E), no
// infinity, NaN 0x7F and 0xFF, smallest subnormal 2^-9 (OCP 8-bit floating point specification).
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace gemma4 {

/// Round to nearest, ties to even, saturating at +-448; NaN stays NaN.
inline uint8_t to_fp8_e4m3(float value) {
  const auto sign = static_cast<uint8_t>(std::bit_cast<uint32_t>(value) >> 24 & 0x80u);
  if (std::isnan(value)) return static_cast<uint8_t>(sign | 0x7Fu);
  const float magnitude = std::min(std::fabs(value), 448.0f);
  if (magnitude < 0x1p-6f) {  // subnormal: the float adder rounds to multiples of 2^-9
    const float shifted = magnitude + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) & 0xFu));
  }
  uint32_t bits = std::bit_cast<uint32_t>(magnitude);
  bits += 0x7FFFFu + ((bits >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((bits >> 20) - ((127u - 7u) << 3)));
}

inline float from_fp8_e4m3(uint8_t code) {
  const uint32_t sign = static_cast<uint32_t>(code & 0x80u) << 24;
  const uint32_t magnitude = code & 0x7Fu;
  if (magnitude == 0x7Fu) return std::bit_cast<float>(sign | 0x7FC00000u);
  if (magnitude < 8u) {
    const float subnormal = static_cast<float>(magnitude) * 0x1p-9f;
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(subnormal));
  }
  return std::bit_cast<float>(sign | ((magnitude << 20) + ((127u - 7u) << 23)));
}

}  // namespace gemma4
