// A few rows of a matrix that lies on the device.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"

namespace gemma4 {

/// Rows [first, first + count) of `m`.
inline Matrix rows_of(Matrix m, int64_t first, int64_t count) {
  const int64_t row_bytes = m.cols * dtype_bits(m.dtype) / 8;
  return {static_cast<std::byte*>(m.data) + first * row_bytes, m.dtype, count, m.cols};
}

}  // namespace gemma4
