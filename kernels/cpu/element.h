// Scalar types that kernels read, as plain data for every instruction set's files.
#pragma once

#include <cstdint>

namespace gemma4::cpu {

/// Of dense weights, of scales, and of keys and values.
enum class Element : uint8_t { kF32, kBf16, kF16 };

/// Largest number of activation rows that the matrix-vector kernels take.
inline constexpr int kMatvecRows = 8;

}  // namespace gemma4::cpu
