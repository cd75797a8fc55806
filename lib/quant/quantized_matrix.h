// QuantizedMatrix: one quantised matrix [rows, cols] as its checkpoint stores it.
//
// W[n, k] = (code(n, k) - zero_point(n, g)) * scale(n, g), g = k / group_size. A matrix with one
// scale a row has group_size == cols. Backends repack from this into layouts of their own.
// Formats: spec checkpoints-quant.md, 3.3-3.5 (compressed-tensors) and 4.2 (quant_method "gemma").
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "lib/base/tensor.h"

namespace gemma4 {

/// How codes are stored. Rows start at multiples of QuantizedMatrix::row_bytes.
enum class CodePacking : uint8_t {
  /// Offset binary, stored = code + 2^(bits-1), low bits first: element k of a row occupies bits
  /// k * bits ... of the row's bytes. compressed-tensors' int32 words and Gemma mobile's uint8 are
  /// this same stream of bytes; only row_bytes differs. Bits after the last element are undefined.
  kOffsetBinary,
  /// Plain int8, two's complement; bits == 8 (int-quantized, Gemma mobile's I8).
  kInt8,
};

/// How zero points are stored.
enum class ZeroPointPacking : uint8_t {
  kNone,        // symmetric: all zero
  kInt8,        // int8 [rows, groups]
  kPackedRows,  // int32 words [ceil(rows * bits / 32), groups], offset binary along rows
};

/// What a checkpoint says about the activations that meet a matrix.
enum class ActivationScheme : uint8_t {
  kNone,         // weight only
  kDynamicInt8,  // symmetric int8, one scale a token (lib/quant/activation_quant.h)
  kStaticInt8,   // symmetric int8 on input and output, one scale a tensor each
};

struct QuantizedMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  int bits = 0;  // 2, 4 or 8: codes are in [-2^(bits-1), 2^(bits-1) - 1]

  CodePacking packing = CodePacking::kOffsetBinary;
  const uint8_t* codes = nullptr;  // rows * row_bytes bytes, any alignment
  size_t row_bytes = 0;

  int64_t group_size = 0;  // divides cols
  Dtype scale_dtype = Dtype::kBf16;
  const void* scales = nullptr;  // [rows, groups()], F32, BF16 or F16, any alignment; may be < 0

  ZeroPointPacking zero_point_packing = ZeroPointPacking::kNone;
  const void* zero_points = nullptr;  // any alignment

  ActivationScheme activation = ActivationScheme::kNone;
  float input_scale = 0.0f;  // of kStaticInt8; 0: this side is not quantised
  float output_scale = 0.0f;

  /// Holds the bytes of a matrix that was quantised at load; null when they lie in a mapped file,
  /// which stays mapped as long as the checkpoint is open.
  std::shared_ptr<const void> owner;

  int64_t groups() const { return cols / group_size; }
  bool symmetric() const { return zero_point_packing == ZeroPointPacking::kNone; }
  bool per_channel() const { return group_size == cols; }
};

/// Bytes of codes, scales and zero points as stored.
size_t quantized_bytes(const QuantizedMatrix& matrix);

float scale_at(const QuantizedMatrix& matrix, int64_t row, int64_t group);
/// In [-2^(bits-1), 2^(bits-1) - 1]; 0 for a symmetric matrix.
int zero_point_at(const QuantizedMatrix& matrix, int64_t row, int64_t group);
/// All scales of a row, widened: out[groups()].
void scales_of_row(const QuantizedMatrix& matrix, int64_t row, float* out);

/// The signed codes of a row: out[cols].
void unpack_codes(const QuantizedMatrix& matrix, int64_t row, int8_t* out);
/// A row's values, the product rounded once to float32: out[cols].
void dequantize_row(const QuantizedMatrix& matrix, int64_t row, float* out);

}  // namespace gemma4
