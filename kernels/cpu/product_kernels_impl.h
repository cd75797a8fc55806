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

  static constexpr int64_t kPrefetchBytes = 512;

  /// R rows of the weight, n, n + apart ..., with M rows of x: each register of weights is widened
  /// once for all M, each of x is loaded once for all R. Every sum adds its terms in the same order
  /// whatever R and M are.
  template <class T, int M, int R>
  static void dot_block(const DenseProduct& p, int64_t n, int64_t apart) {
    using Storage = typename T::Storage;
    const Storage* w = static_cast<const Storage*>(p.w) + n * p.ldw;
    constexpr int kSums = (R * M + 3) / 4 * 4;
    V sum[kSums];
#pragma GCC unroll 32
    for (int s = 0; s < kSums; ++s) sum[s] = S::zero();
    const int64_t stride = apart * p.ldw;
    int64_t i = 0;
    for (; i + S::kLanes <= p.k; i += S::kLanes) {
      V weight[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const Storage* from = w + r * stride + i;
        __builtin_prefetch(from + kPrefetchBytes / sizeof(Storage));
        weight[r] = load_as<S, T>(from);
      }
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const V x = S::in_register(S::load(p.x + m * p.ldx + i));
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[m * R + r] = S::fma(weight[r], x, sum[m * R + r]);
      }
    }
    if (i < p.k) {
      V weight[R];
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) weight[r] = load_part_as<S, T>(w + r * stride + i, p.k - i);
#pragma GCC unroll 16
      for (int m = 0; m < M; ++m) {
        const V x = S::load_part(p.x + m * p.ldx + i, p.k - i);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) sum[m * R + r] = S::fma(weight[r], x, sum[m * R + r]);
      }
    }
    float total[kSums];
#pragma GCC unroll 8
    for (int s = 0; s < kSums; s += 4) {
      S::sums(sum[s], sum[s + 1], sum[s + 2], sum[s + 3], total + s);
    }
    for (int m = 0; m < M; ++m) {
      for (int r = 0; r < R; ++r) p.out[m * p.ldo + n + r * apart] = total[m * R + r];
    }
  }

  /// Rows of the weight at a time: as many as the registers hold with M sums for each.
  static constexpr int block_rows(int m) {
    const int fit = (2 * S::kLanes - 1) / (m + 1);  // of 32 or 16 registers, one for x
    const int most = m <= 4 ? 6 : 4;                // more streams were slower
    return fit < most ? fit : most;
  }

  template <class T, int M>
  static void matvec_rows(const DenseProduct& p) {
    constexpr int kBlock = block_rows(M);
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
