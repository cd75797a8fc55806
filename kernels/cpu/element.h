// Scalar types that kernels read, as plain data for every instruction set's files.
#pragma once

#include <cstdint>

namespace gemma4::cpu {

/// Of dense weights, of scales, and of keys and values.
/// Keys and values alone may be kInt8 and kFp8 (e4m3).
enum class Element : uint8_t { kF32, kBf16, kF16, kInt8, kFp8 };

/// Largest number of activation rows that the matrix-vector kernels take: a token and eight drafts.
inline constexpr int kMatvecRows = 9;

}  // namespace gemma4::cpu
