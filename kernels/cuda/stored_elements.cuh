// Reading weights of every form on the device.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/weights.h"

namespace gemma4::cuda {

/// 16 bytes of a row (int2: 8) at column k, a multiple of lane_codes(kForm).
template <WeightForm kForm>
__device__ __forceinline__ void load_lane(const uint8_t* row, int64_t k, uint32_t (&words)[4]) {
  const uint8_t* from = row + k * bits_of(kForm) / 8;
  if constexpr (kForm == WeightForm::kInt2) {
    const uint2 v = __ldg(reinterpret_cast<const uint2*>(from));
    words[0] = v.x;
    words[1] = v.y;
    words[2] = words[3] = 0;
  } else {
    const uint4 v = __ldg(reinterpret_cast<const uint4*>(from));
    words[0] = v.x;
    words[1] = v.y;
    words[2] = v.z;
    words[3] = v.w;
  }
}

/// Elements 2 pair and 2 pair + 1 of what load_lane read, as bfloat16. 0x4300 is 128 in bfloat16,
/// whose steps there are 1: or-ing a code of up to 7 bits into it adds the code. Codes of kInt8,
/// kInt4 and kInt2 still lack their row's scale; `scale` is a group's, twice.
template <WeightForm kForm>
__device__ __forceinline__ uint32_t code_pair(const uint32_t (&words)[4], int pair,
                                              uint32_t scale) {
  if constexpr (kForm == WeightForm::kBf16) {
    return words[pair];
  } else if constexpr (kForm == WeightForm::kInt8) {
    const uint32_t bytes = words[pair / 2] >> (8 * (pair % 2));
    // Two's complement: the low seven bits, minus 128 where the eighth is set.
    return subtract_bf16((bytes & 0x007F007Fu) | 0x43004300u, (bytes & 0x00800080u) | 0x43004300u);
  } else if constexpr (kForm == WeightForm::kInt2) {
    const uint32_t codes = words[pair / 8] >> (2 * (pair % 8));
    return subtract_bf16((codes & 0x00030003u) | 0x43004300u, 0x43024302u);
  } else {
    const uint32_t codes = words[pair / 4] >> (4 * (pair % 4));
    const uint32_t value = subtract_bf16((codes & 0x000F000Fu) | 0x43004300u, 0x43084308u);
    return kForm == WeightForm::kInt4Grouped ? multiply_bf16(value, scale) : value;
  }
}

/// The group's scale at column k, twice.
__device__ __forceinline__ uint32_t group_scale_pair(const StoredMatrix& w, int64_t row,
                                                     int64_t k) {
  const auto* scales = static_cast<const uint16_t*>(w.scales);
  const uint32_t scale = __ldg(scales + row * (padded_cols(w.cols) / 32) + k / 32);
  return scale | scale << 16;
}

/// The row's scale of kInt8, kInt4 and kInt2; 1 for other forms.
__device__ __forceinline__ float row_scale(const StoredMatrix& w, int64_t row) {
  if (w.form == WeightForm::kInt8 || w.form == WeightForm::kInt4 || w.form == WeightForm::kInt2) {
    return __ldg(static_cast<const float*>(w.scales) + row);
  }
  return 1.0f;
}

/// Element (row, k) in float32, scaled.
__device__ __forceinline__ float stored_element(const StoredMatrix& w, int64_t row, int64_t k) {
  const uint8_t* codes = w.codes + row * packed_row_bytes(w.form, w.cols);
  if (w.form == WeightForm::kF32) return __ldg(reinterpret_cast<const float*>(codes) + k);
  if (w.form == WeightForm::kBf16) {
    return bf16_value(__ldg(reinterpret_cast<const uint16_t*>(codes) + k));
  }
  const int bits = bits_of(w.form);
  const uint32_t word = __ldg(reinterpret_cast<const uint32_t*>(codes) + code_word(bits, k));
  const uint32_t stored = (word >> code_shift(bits, k)) & ((1u << bits) - 1u);
  const auto code = static_cast<float>(signed_code(bits, stored));
  if (w.form != WeightForm::kInt4Grouped) return code * row_scale(w, row);
  return code * bf16_low(group_scale_pair(w, row, k));
}

}  // namespace gemma4::cuda
