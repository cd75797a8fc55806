// Matrix products, out[r, n] = sum_k x[r, k] W[n, k], by our own kernels.
//
// few_rows_product: up to 16 rows. The weights pass once through the tensor cores as their second
//   operand, whatever the number of rows, so that memory is the limit.
// tile_product: any number of rows; also the experts' products, over rows grouped by expert.
// exact_product: float32 throughout.
// The first two round activations to bfloat16 and sum in float32.
#pragma once

#include <span>

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/weights.h"

namespace gemma4::cuda {

inline constexpr int kFewRows = 16;
inline constexpr int kMaxTargets = 3;

/// One of several weights that meet the same rows.
struct ProductTarget {
  StoredMatrix w;                       // with a table: form and shape of all of it
  const StoredMatrix* table = nullptr;  // [experts] in device memory, or null
  float* out = nullptr;
  int64_t out_stride = 0;
  int32_t first_tile = 0;  // filled in by the launcher
  int32_t reserved = 0;
};

/// Rows of activations, and the experts that they go to.
struct ProductRows {
  const void* x = nullptr;           // float32, or bfloat16 padded to 32 columns when `narrow`
  const int32_t* experts = nullptr;  // [m] of each row; then row r is x row r / x_divisor
  int64_t stride = 0;                // elements from one row of x to the next
  int32_t m = 0;
  int32_t k = 0;
  int32_t x_divisor = 1;
  int32_t narrow = 0;
};

/// All targets have the form of the first. Not kF32. Without experts, m <= kFewRows.
void few_rows_product(LaunchQueue& queue, std::span<const ProductTarget> targets,
                      const ProductRows& rows);

/// x is float32. All targets have the form of the first.
void exact_product(LaunchQueue& queue, std::span<const ProductTarget> targets,
                   const ProductRows& rows);

/// Rows of several experts, the rows of each adjacent: tile t is rows [first, first + rows) of
/// expert `expert`. In device memory: the number of tiles, then triples (expert, first, rows).
struct ExpertTiles {
  const int32_t* tiles = nullptr;
  const int32_t* row_map = nullptr;  // x row = row_map[i] / x_divisor; null: x row i
  int32_t most_tiles = 0;
  int32_t height = 64;  // rows of a full tile: 64 or 128
};

/// Rows must be narrow. `partial`: floats for partial sums, `partial_count` of them; may be null.
/// With `experts`, rows.m counts the grouped rows, and out row i is that of grouped row i.
void tile_product(LaunchQueue& queue, const ProductTarget& target, const ProductRows& rows,
                  const ExpertTiles* experts, float* partial, size_t partial_count);

/// Rounds rows to bfloat16, padded to 32 columns with zeros.
void narrow_rows(LaunchQueue& queue, const float* x, int64_t stride, int64_t rows, int64_t cols,
                 uint16_t* out);
/// Rows [first, first + count) of a weight, as bfloat16 or float32 rows of padded_cols.
void widen_weight(LaunchQueue& queue, const StoredMatrix& w, int64_t first, int64_t count,
                  bool to_float, void* out);

}  // namespace gemma4::cuda
