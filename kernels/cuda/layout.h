// Where things lie: packed weight codes, and which lane of a warp holds which element of a tensor
// core's operands. All of it constexpr, so that the host packs by the same rules as kernels read,
// and tests check them without a GPU.
//
// Matrix products take the tensor core's k in an order of their own: the four lanes that share a
// row of an operand each read a run of consecutive k ("the lane's stream"), and step s of the
// product takes elements 4s ... 4s+3 of every stream. Both operands do so, and a sum does not care.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gemma4::cuda {

/// How a weight lies in device memory. Rows are padded to a multiple of 32 columns, with zeros.
enum class WeightForm : int32_t {
  kF32,
  kBf16,
  kInt8,         // one float32 scale a row
  kInt4,         // one float32 scale a row
  kInt4Grouped,  // one bfloat16 scale for 32 columns
  kInt2,         // one float32 scale a row
};

constexpr int bits_of(WeightForm form) {
  switch (form) {
    case WeightForm::kF32:
      return 32;
    case WeightForm::kBf16:
      return 16;
    case WeightForm::kInt8:
      return 8;
    case WeightForm::kInt2:
      return 2;
    default:
      return 4;
  }
}

constexpr bool is_coded(WeightForm form) {
  return form != WeightForm::kF32 && form != WeightForm::kBf16;
}

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

constexpr int64_t padded_cols(int64_t cols) { return round_up(cols, 32); }
constexpr int64_t packed_row_bytes(WeightForm form, int64_t cols) {
  return padded_cols(cols) * bits_of(form) / 8;
}

/// Elements that a lane reads at a time, 16 bytes (int2: 8 bytes).
constexpr int lane_codes(WeightForm form) {
  switch (form) {
    case WeightForm::kBf16:
      return 8;
    case WeightForm::kInt8:
      return 16;
    default:
      return 32;
  }
}

/// Code k of a row of `bits`-bit codes is in word k / (32 / bits) of the row at this bit. Codes 2j
/// and 2j + 1 of a word lie 16 bits apart, so that one shift and one mask give a pair of bfloat16
/// mantissas.
constexpr int code_shift(int bits, int64_t k) {
  const auto in_word = static_cast<int>(k % (32 / bits));
  return bits * (in_word / 2) + 16 * (in_word % 2);
}
constexpr int64_t code_word(int bits, int64_t k) { return k / (32 / bits); }
/// What is stored for a signed code: int8 as it is, fewer bits in offset binary.
constexpr uint32_t stored_code(int bits, int code) {
  return static_cast<uint32_t>(code + (bits < 8 ? 1 << (bits - 1) : 0)) & ((1u << bits) - 1u);
}
constexpr int signed_code(int bits, uint32_t stored) {
  if (bits < 8) return static_cast<int>(stored) - (1 << (bits - 1));
  return stored < 128 ? static_cast<int>(stored) : static_cast<int>(stored) - 256;
}

// --- mma.sync.m16n8k16, bfloat16 (PTX ISA, "Matrix Fragments for mma.m16n8k16") ----------------

constexpr int a_row(int lane, int reg) { return lane / 4 + reg % 2 * 8; }
constexpr int a_col(int lane, int reg, int half) { return lane % 4 * 2 + half + reg / 2 * 8; }
constexpr int b_row(int lane, int reg, int half) { return lane % 4 * 2 + half + reg * 8; }
constexpr int b_col(int lane) { return lane / 4; }
constexpr int c_row(int lane, int reg) { return lane / 4 + reg / 2 * 8; }
constexpr int c_col(int lane, int reg) { return lane % 4 * 2 + reg % 2; }

/// The k of the weight that register `reg` (0 or 1: k < 8 or >= 8 of the tensor core's 16), half
/// `half` holds in step `step`, for streams of `stream` elements: see the head of this file.
constexpr int stream_k(int stream, int lane, int step, int reg, int half) {
  return lane % 4 * stream + 4 * step + 2 * reg + half;
}

/// Shared memory of activations in bfloat16: rows of 16-byte units (8 elements), the unit index
/// permuted so that the eight lanes that read together find eight banks. `stream`: lane_codes.
constexpr int swizzled_unit(int stream, int row, int unit) {
  const int by_row = stream == 8 ? 4 : stream == 16 ? 1 : 2;
  return unit ^ ((unit >> 3) & 1) ^ ((row & 1) * by_row);
}

}  // namespace gemma4::cuda
