// The part of kernel_table.h for quantised weights; its rules apply.
//
// Weights are read in place, as checkpoints store them: rows of codes, low bits first. Activations
// are int8 in groups of kGroup, with a scale each. In a group their order follows the codes: the
// activations that meet the lowest bits of the group's bytes come first, then those of the next
// bits; so that a shift and a mask of a register of weights line up with a register of them.
#pragma once

#include <cstdint>

#include "kernels/cpu/element.h"

namespace gemma4::cpu {

/// Activations that share a scale.
inline constexpr int kGroup = 32;

/// Symmetric codes of 2, 4 or 8 bits; the number of columns is a multiple of kGroup.
struct QuantRows {
  const uint8_t* codes;  // of the first row
  int64_t row_bytes;
  int bits;
  bool signed_codes;  // two's complement instead of offset binary (8 bits only)
  bool grouped;       // a scale for each kGroup columns (F32 or BF16) instead of one a row
  Element scale_type;
  const void* scales;  // of the first row
  int64_t rows;
  int64_t cols;
};

/// int8 activations of some rows.
struct QuantActivations {
  int8_t* codes;  // [rows, stride], columns in the order of their group
  int64_t stride;
  float* scales;     // [rows, cols / kGroup]
  int32_t* offsets;  // [rows, cols / kGroup]: -2^(bits-1) * the sum of the group's codes
};

struct QuantKernels {
  /// q = round(x / scale) in natural order and scale = absmax / 127 for each group.
  void (*quantize)(const float* x, int64_t cols, int8_t* q, float* scales);
  /// The same with a scale given for the whole row, clamped to [-128, 127].
  void (*quantize_with)(const float* x, int64_t cols, float scale, int8_t* q, float* scales);
  /// Puts a row into the order for weights of `bits` bits, and sums the groups.
  void (*arrange)(const int8_t* q, int64_t cols, int bits, int8_t* codes, int32_t* offsets);
  /// out[r * ldo + n] for at most kMatvecRows rows of activations in the form of pack_few.
  void (*matvec)(const QuantRows& w, const void* packed, int64_t m, float* out, int64_t ldo);
  /// Bytes of one row in the form of matvec, a multiple of 64.
  int64_t (*few_bytes)(int64_t cols, int bits);
  void (*pack_few)(const int8_t* codes, const float* scales, int64_t cols, int bits, void* packed);
  /// Any number of rows. `scratch`: gemm_scratch() bytes, 64-byte aligned.
  void (*gemm)(const QuantRows& w, const QuantActivations& x, int64_t m, float* out, int64_t ldo,
               void* scratch);
  int64_t (*gemm_scratch)();
  /// One row as float32.
  void (*dequantize)(const QuantRows& w, int64_t row, float* out);
};

QuantKernels quant_kernels_avx2();
QuantKernels quant_kernels_avx512();
QuantKernels quant_kernels_avx512vnni();

}  // namespace gemma4::cpu
