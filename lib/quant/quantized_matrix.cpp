#include "lib/quant/quantized_matrix.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "lib/base/scalar_types.h"

namespace gemma4 {
namespace {

template <typename T>
T load_at(const void* base, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const std::byte*>(base) + index * int64_t{sizeof(T)}, sizeof(T));
  return value;
}

/// Offset-binary codes of `Bits` bits, low bits first, as signed values.
template <int Bits>
void unpack_offset_binary(const uint8_t* packed, int64_t count, int8_t* out) {
  constexpr int kPerByte = 8 / Bits;
  constexpr int kMask = (1 << Bits) - 1;
  constexpr int kOffset = 1 << (Bits - 1);
  const auto code = [](uint8_t byte, int j) {
    return static_cast<int8_t>(((byte >> (j * Bits)) & kMask) - kOffset);
  };
  const int64_t whole = count / kPerByte;
#pragma omp simd
  for (int64_t i = 0; i < whole; ++i) {
    for (int j = 0; j < kPerByte; ++j) out[i * kPerByte + j] = code(packed[i], j);
  }
  for (int64_t k = whole * kPerByte; k < count; ++k) {
    out[k] = code(packed[whole], static_cast<int>(k % kPerByte));
  }
}

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace

size_t quantized_bytes(const QuantizedMatrix& matrix) {
  const int64_t scales = matrix.rows * matrix.groups();
  int64_t bytes = matrix.rows * static_cast<int64_t>(matrix.row_bytes) +
                  scales * dtype_bits(matrix.scale_dtype) / 8;
  if (matrix.zero_point_packing == ZeroPointPacking::kInt8) bytes += scales;
  if (matrix.zero_point_packing == ZeroPointPacking::kPackedRows) {
    bytes += divide_up(matrix.rows * matrix.bits, 32) * matrix.groups() * 4;
  }
  return static_cast<size_t>(bytes);
}

float scale_at(const QuantizedMatrix& matrix, int64_t row, int64_t group) {
  const int64_t index = row * matrix.groups() + group;
  if (matrix.scale_dtype == Dtype::kBf16) return to_float(load_at<Bf16>(matrix.scales, index));
  if (matrix.scale_dtype == Dtype::kF16) return to_float(load_at<F16>(matrix.scales, index));
  return load_at<float>(matrix.scales, index);
}

int zero_point_at(const QuantizedMatrix& matrix, int64_t row, int64_t group) {
  switch (matrix.zero_point_packing) {
    case ZeroPointPacking::kNone:
      return 0;
    case ZeroPointPacking::kInt8:
      return load_at<int8_t>(matrix.zero_points, row * matrix.groups() + group);
    case ZeroPointPacking::kPackedRows: {
      const int64_t word_index = row * matrix.bits / 32 * matrix.groups() + group;
      const uint32_t word = load_at<uint32_t>(matrix.zero_points, word_index);
      const uint32_t mask = (1u << matrix.bits) - 1u;
      return static_cast<int>((word >> (row * matrix.bits % 32)) & mask) - (1 << (matrix.bits - 1));
    }
  }
  return 0;
}

void scales_of_row(const QuantizedMatrix& matrix, int64_t row, float* out) {
  for (int64_t group = 0; group < matrix.groups(); ++group) {
    out[group] = scale_at(matrix, row, group);
  }
}

void unpack_codes(const QuantizedMatrix& matrix, int64_t row, int8_t* out) {
  const uint8_t* packed = matrix.codes + static_cast<size_t>(row) * matrix.row_bytes;
  if (matrix.packing == CodePacking::kInt8) {
    std::memcpy(out, packed, static_cast<size_t>(matrix.cols));
  } else if (matrix.bits == 2) {
    unpack_offset_binary<2>(packed, matrix.cols, out);
  } else if (matrix.bits == 4) {
    unpack_offset_binary<4>(packed, matrix.cols, out);
  } else {
    unpack_offset_binary<8>(packed, matrix.cols, out);
  }
}

void dequantize_row(const QuantizedMatrix& matrix, int64_t row, float* out) {
  constexpr int64_t kChunk = 1024;
  std::array<int8_t, kChunk> codes;
  QuantizedMatrix chunk = matrix;  // a window of columns that starts on a whole byte
  chunk.codes = matrix.codes + static_cast<size_t>(row) * matrix.row_bytes;
  for (int64_t first = 0; first < matrix.cols; first += kChunk) {
    chunk.cols = std::min(kChunk, matrix.cols - first);
    unpack_codes(chunk, 0, codes.data());
    chunk.codes += kChunk * matrix.bits / 8;
    for (int64_t k = 0; k < chunk.cols; ++k) out[first + k] = codes[static_cast<size_t>(k)];
  }
  for (int64_t group = 0; group < matrix.groups(); ++group) {
    const float scale = scale_at(matrix, row, group);
    const auto zero_point = static_cast<float>(zero_point_at(matrix, row, group));
    float* values = out + group * matrix.group_size;
    for (int64_t k = 0; k < matrix.group_size; ++k) values[k] = (values[k] - zero_point) * scale;
  }
}

}  // namespace gemma4
