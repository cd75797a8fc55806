// Products of activations with dense weights, over a SIMD type S. See ProductKernels.
#pragma once

#include "kernels/cpu/tile_product.h"

namespace gemma4::cpu {

template <class S>
struct Products {
  using V = typename S::V;
  using Tile = TileProduct<S>;

  // --- few rows: the weight is streamed once, each sum has one accumulator
  // ------------------------

  /// R rows of the weight, n, n + apart ..., with M rows of x. Every sum adds its terms in the same
  /// order whatever R and M are.
  template <class T, int M, int R>
  static void dot_block(const DenseProduct& p, int64_t n, int64_t apart) {
    using Storage = typename T::Storage;
    const Storage* w = static_cast<const Storage*>(p.w) + n * p.ldw;
    V sum[R][M];
    for (int r = 0; r < R; ++r) {
      for (int m = 0; m < M; ++m) sum[r][m] = S::zero();
    }
    const int64_t stride = apart * p.ldw;
    int64_t i = 0;
    for (; i + S::kLanes <= p.k; i += S::kLanes) {
      V xs[M];
      for (int m = 0; m < M; ++m) xs[m] = S::load(p.x + m * p.ldx + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        const Storage* from = w + r * stride + i;
        __builtin_prefetch(from + kPrefetchBytes / sizeof(Storage));
        const V weight = load_as<S, T>(from);
        for (int m = 0; m < M; ++m) sum[r][m] = S::fma(weight, xs[m], sum[r][m]);
      }
    }
    if (i < p.k) {
      for (int m = 0; m < M; ++m) {
        const V x = S::load_part(p.x + m * p.ldx + i, p.k - i);
        for (int r = 0; r < R; ++r) {
          sum[r][m] = S::fma(load_part_as<S, T>(w + r * stride + i, p.k - i), x, sum[r][m]);
        }
      }
    }
    for (int m = 0; m < M; ++m) {
      for (int r = 0; r < R; ++r) p.out[m * p.ldo + n + r * apart] = S::sum(sum[r][m]);
    }
  }

  template <class T, int M>
  static void matvec_rows(const DenseProduct& p) {
    constexpr int kBlock = M <= 2 ? 4 : (M <= 4 ? S::kLanes / 4 : S::kLanes / 8);
    // The rows of a block are far apart: each is a stream that goes on through the rows that
    // follow, as the hardware's prefetch likes it.
    const int64_t apart = p.n / kBlock;
    for (int64_t n = 0; n < apart; ++n) dot_block<T, M, kBlock>(p, n, apart);
    for (int64_t n = apart * kBlock; n < p.n; ++n) dot_block<T, M, 1>(p, n, 1);
  }

  template <class T, int M = kMatvecRows>
  static void matvec_as(const DenseProduct& p) {
    if (p.m == M) {
      matvec_rows<T, M>(p);
    } else if constexpr (M > 1) {
      matvec_as<T, M - 1>(p);
    }
  }

  static void matvec(const DenseProduct& p) {
    if (p.type == Element::kF32) matvec_as<AsF32>(p);
    if (p.type == Element::kBf16) matvec_as<AsBf16>(p);
    if (p.type == Element::kF16) matvec_as<AsF16>(p);
  }

  // --- many rows: packed blocks
  // -------------------------------------------------------------------

  static constexpr int64_t kPrefetchBytes = 512;
  static constexpr int64_t kDepth = 256;  // k at a time: a packed panel of columns stays in L1
  static constexpr int64_t kHeight = 36 * Tile::kRows;  // rows at a time: they stay in L2

  static int64_t gemm_scratch() { return kDepth * (kHeight + Tile::kCols); }

  template <class T>
  static void gemm_as(const DenseProduct& p, float* scratch) {
    using Storage = typename T::Storage;
    float* packed_columns = scratch;
    float* packed_rows = scratch + kDepth * Tile::kCols;
    for (int64_t m0 = 0; m0 < p.m; m0 += kHeight) {
      const int64_t height = p.m - m0 < kHeight ? p.m - m0 : kHeight;
      for (int64_t k0 = 0; k0 < p.k; k0 += kDepth) {
        const int64_t depth = p.k - k0 < kDepth ? p.k - k0 : kDepth;
        for (int64_t r = 0; r < height; r += Tile::kRows) {
          const int rows = static_cast<int>(height - r < Tile::kRows ? height - r : Tile::kRows);
          Tile::pack_rows(p.x + (m0 + r) * p.ldx + k0, p.ldx, rows, depth, packed_rows + r * depth);
        }
        for (int64_t n = 0; n < p.n; n += Tile::kCols) {
          const int cols = static_cast<int>(p.n - n < Tile::kCols ? p.n - n : Tile::kCols);
          const Storage* row[Tile::kCols];
          for (int i = 0; i < cols; ++i) {
            row[i] = static_cast<const Storage*>(p.w) + (n + i) * p.ldw + k0;
          }
          Tile::template pack_columns<T>(row, cols, depth, packed_columns);
          for (int64_t r = 0; r < height; r += Tile::kRows) {
            const int rows = static_cast<int>(height - r < Tile::kRows ? height - r : Tile::kRows);
            const float* a = packed_rows + r * depth;
            float* c = p.out + (m0 + r) * p.ldo + n;
            if (cols == Tile::kCols) {
              Tile::template tile_of<AsF32>(rows, depth, a, packed_columns, Tile::kCols, c, p.ldo,
                                            k0 > 0);
            } else {
              Tile::template tile_edge<AsF32>(rows, cols, depth, a, packed_columns, c, p.ldo,
                                              k0 > 0);
            }
          }
        }
      }
    }
  }

  static void gemm(const DenseProduct& p, float* scratch) {
    if (p.type == Element::kF32) gemm_as<AsF32>(p, scratch);
    if (p.type == Element::kBf16) gemm_as<AsBf16>(p, scratch);
    if (p.type == Element::kF16) gemm_as<AsF16>(p, scratch);
  }

  static ProductKernels table() { return {matvec, gemm, gemm_scratch}; }
};

}  // namespace gemma4::cpu
