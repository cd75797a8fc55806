// The building blocks of products with many rows, over a SIMD type S: operands packed so that the
// inner loop reads them in order, and the inner loop itself. A tile of the result has up to
// S::kTileRows rows and two registers of columns, all held in registers.
#pragma once

#include "kernels/cpu/simd_loops.h"

namespace gemma4::cpu {

template <class S>
struct TileProduct {
  using V = typename S::V;
  static constexpr int kRows = S::kTileRows;
  static constexpr int kCols = 2 * S::kLanes;

  /// a[p * rows + r] = x[r * ldx + p], rows <= kRows.
  static void pack_rows(const float* x, int64_t ldx, int rows, int64_t k, float* a) {
    for (int64_t p = 0; p < k; ++p) {
      for (int r = 0; r < rows; ++r) a[p * rows + r] = x[r * ldx + p];
    }
  }

  /// b[p * kCols + n] = row[n][p]; columns from `count` on are 0.
  template <class T>
  static void pack_columns(const typename T::Storage* const* row, int count, int64_t k, float* b) {
    V block[S::kLanes];
    for (int first = 0; first < kCols; first += S::kLanes) {
      for (int64_t p = 0; p < k; p += S::kLanes) {
        const int64_t width = k - p < S::kLanes ? k - p : S::kLanes;
        for (int i = 0; i < S::kLanes; ++i) {
          if (first + i >= count) {
            block[i] = S::zero();
          } else if (width == S::kLanes) {
            block[i] = load_as<S, T>(row[first + i] + p);
          } else {
            block[i] = load_part_as<S, T>(row[first + i] + p, width);
          }
        }
        S::transpose(block);
        for (int64_t i = 0; i < width; ++i) S::store(b + (p + i) * kCols + first, block[i]);
      }
    }
  }

  /// c[r * ldc + n] (+)= sum_p a[p * R + r] * b[p * ldb + n] for n < kCols.
  template <int R, class T>
  static void tile(int64_t k, const float* a, const typename T::Storage* b, int64_t ldb, float* c,
                   int64_t ldc, bool add) {
    V sum[R][2];
    for (int r = 0; r < R; ++r) sum[r][0] = S::zero(), sum[r][1] = S::zero();
    for (int64_t p = 0; p < k; ++p) {
      const V b0 = load_as<S, T>(b + p * ldb);
      const V b1 = load_as<S, T>(b + p * ldb + S::kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < R; ++r) {
        const V factor = S::set(a[p * R + r]);
        sum[r][0] = S::fma(factor, b0, sum[r][0]);
        sum[r][1] = S::fma(factor, b1, sum[r][1]);
      }
    }
    for (int r = 0; r < R; ++r) {
      float* to = c + r * ldc;
      if (add) {
        sum[r][0] = S::add(sum[r][0], S::load(to));
        sum[r][1] = S::add(sum[r][1], S::load(to + S::kLanes));
      }
      S::store(to, sum[r][0]);
      S::store(to + S::kLanes, sum[r][1]);
    }
  }

  /// tile for a number of rows known at run time.
  template <class T, int R = kRows>
  static void tile_of(int rows, int64_t k, const float* a, const typename T::Storage* b,
                      int64_t ldb, float* c, int64_t ldc, bool add) {
    if (rows == R) {
      tile<R, T>(k, a, b, ldb, c, ldc, add);
    } else if constexpr (R > 1) {
      tile_of<T, R - 1>(rows, k, a, b, ldb, c, ldc, add);
    }
  }

  /// The same with only `cols` columns of c present.
  template <class T>
  static void tile_edge(int rows, int cols, int64_t k, const float* a, const float* b, float* c,
                        int64_t ldc, bool add) {
    alignas(64) float whole[kRows * kCols];
    tile_of<T>(rows, k, a, b, kCols, whole, kCols, false);
    for (int r = 0; r < rows; ++r) {
      for (int n = 0; n < cols; ++n) {
        const float value = whole[r * kCols + n];
        c[r * ldc + n] = add ? c[r * ldc + n] + value : value;
      }
    }
  }
};

}  // namespace gemma4::cpu
