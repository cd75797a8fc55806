// Weights on the device: their forms, and how a checkpoint's matrices become them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/cuda/layout.h"
#include "kernels/weight.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4::cuda {

/// A weight in device memory: `rows` rows of packed_row_bytes(form, cols), and its scales.
struct StoredMatrix {
  const uint8_t* codes = nullptr;
  const void* scales = nullptr;  // see WeightForm; null for kF32 and kBf16
  int32_t rows = 0;
  int32_t cols = 0;
  WeightForm form = WeightForm::kBf16;
  int32_t reserved = 0;  // no padding: this is a kernel argument

  /// Rows [first, first + count).
  StoredMatrix row_range(int64_t first, int64_t count) const;
};

/// Bytes of one row's scales.
constexpr int64_t scale_row_bytes(WeightForm form, int64_t cols) {
  if (!is_coded(form)) return 0;
  return form == WeightForm::kInt4Grouped ? padded_cols(cols) / 32 * 2 : 4;
}

/// The form that a weight gets. Float32 and float16 become kF32, unless a form of the checkpoint's
/// that kernels do not know is widened: to kBf16, or to kF32 when `exact`.
WeightForm form_of(const Weight& weight, bool exact);

/// Row `row` of a weight in `form`, as it lies on the device: codes[packed_row_bytes], and
/// scales[scale_row_bytes].
void pack_row(const Weight& weight, WeightForm form, int64_t row, uint8_t* codes, uint8_t* scales);

}  // namespace gemma4::cuda
