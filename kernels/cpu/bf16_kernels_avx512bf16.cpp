#include <immintrin.h>

#include "kernels/cpu/bf16_kernels.h"
#include "kernels/cpu/element.h"

namespace gemma4::cpu {
namespace {

/// Terms that are summed before the sixteen partial sums of a register are added up: rows of x
/// that long stay in the first cache while a block of the weight passes by.
constexpr int64_t kDepth = 1536;
/// Many rows: a tile of the result, and the rows of the weight that stay in the second cache.
constexpr int kTileRows = 6;
constexpr int kTileColumns = 4;
constexpr int64_t kBlockColumns = 128;

/// Few rows: how far ahead a row of the weight is fetched, 2 KiB, and how near.
constexpr int64_t kAhead = 1024;
constexpr int kSecondCache = 2;

int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// Terms at a time: k in equal parts of at most kDepth.
int64_t depth_of(int64_t k) {
  const int64_t parts = (k + kDepth - 1) / kDepth;
  return ((k + parts - 1) / parts + kBf16Lanes - 1) / kBf16Lanes * kBf16Lanes;
}

/// The sums of four registers.
void add_up(const __m512* sum, float* out) {
  const __m512 ab =
      _mm512_add_ps(_mm512_unpacklo_ps(sum[0], sum[1]), _mm512_unpackhi_ps(sum[0], sum[1]));
  const __m512 cd =
      _mm512_add_ps(_mm512_unpacklo_ps(sum[2], sum[3]), _mm512_unpackhi_ps(sum[2], sum[3]));
  const __m512 all =
      _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/// M rows of x with R rows of the weight that are `apart` elements apart, over k terms:
/// out[m * ldo + r * step] (+)= the sums.
template <int M, int R, bool Prefetch>
void tile(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t apart, int64_t k, float* out,
          int64_t ldo, int64_t step, bool add) {
  constexpr int kSums = (R * M + 3) / 4 * 4;
  __m512 sum[kSums];
#pragma GCC unroll 36
  for (int s = 0; s < kSums; ++s) sum[s] = _mm512_setzero_ps();
  const auto multiply = [&](const __m512i* weight, int64_t i) {
#pragma GCC unroll 16
    for (int m = 0; m < M; ++m) {
      __m512i row = _mm512_loadu_si512(x + m * ldx + i);
      asm("" : "+v"(row));  // in a register: not loaded again for each use
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        sum[m * R + r] = _mm512_dpbf16_ps(sum[m * R + r], (__m512bh)weight[r], (__m512bh)row);
      }
    }
  };
  int64_t i = 0;
  for (; i + kBf16Lanes <= k; i += kBf16Lanes) {
    __m512i weight[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const uint16_t* from = w + r * apart + i;
      if constexpr (Prefetch) __builtin_prefetch(from + kAhead, 0, kSecondCache);
      weight[r] = _mm512_loadu_si512(from);
    }
    multiply(weight, i);
  }
  if (i < k) {
    const auto rest = static_cast<__mmask32>((uint64_t{1} << (k - i)) - 1);
    __m512i weight[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) weight[r] = _mm512_maskz_loadu_epi16(rest, w + r * apart + i);
    multiply(weight, i);
  }
  float total[kSums];
#pragma GCC unroll 9
  for (int s = 0; s < kSums; s += 4) add_up(sum + s, total + s);
  for (int m = 0; m < M; ++m) {
    for (int r = 0; r < R; ++r) {
      float& to = out[m * ldo + r * step];
      to = add ? to + total[m * R + r] : total[m * R + r];
    }
  }
}

// --- few rows: the weight is streamed once
// -------------------------------------------------------

/// R rows of the weight, n, n + apart ..., with all M rows of x.
template <int M, int R>
void rows_of_weight(const Bf16Product& p, int64_t n, int64_t apart) {
  const int64_t depth = depth_of(p.k);
  for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
    tile<M, R, true>(p.x + k0, p.ldx, p.w + n * p.ldw + k0, apart * p.ldw, smaller(depth, p.k - k0),
                     p.out + n, p.ldo, apart, k0 > 0);
  }
}

/// Rows of the weight at a time: as many as the registers hold with M sums for each.
constexpr int block_rows(int m) {
  const int fit = 31 / (m + 1);  // of 32 registers, one for x
  return fit < 6 ? fit : 6;      // more streams were slower
}

template <int M = kMatvecRows>
void few_rows(const Bf16Product& p) {
  if constexpr (M > 1) {
    if (p.m < M) return few_rows<M - 1>(p);
  }
  constexpr int kBlock = block_rows(M);
  // The rows of a block are far apart: each is a stream that goes on through the rows that
  // follow, as the hardware's prefetch likes it.
  const int64_t apart = p.n / kBlock;
  for (int64_t n = 0; n < apart; ++n) rows_of_weight<M, kBlock>(p, n, apart);
  for (int64_t n = apart * kBlock; n < p.n; ++n) rows_of_weight<M, 1>(p, n, 1);
}

// --- many rows: blocks that stay in the caches
// ---------------------------------------------------

/// Columns [n, n + count) of M rows.
template <int M>
void strip(const Bf16Product& p, int64_t m, int64_t n, int64_t count, int64_t k0, int64_t depth) {
  const uint16_t* x = p.x + m * p.ldx + k0;
  const uint16_t* w = p.w + n * p.ldw + k0;
  float* out = p.out + m * p.ldo + n;
  int64_t i = 0;
  for (; i + kTileColumns <= count; i += kTileColumns) {
    tile<M, kTileColumns, false>(x, p.ldx, w + i * p.ldw, p.ldw, depth, out + i, p.ldo, 1, k0 > 0);
  }
  for (; i < count; ++i) {
    tile<M, 1, false>(x, p.ldx, w + i * p.ldw, p.ldw, depth, out + i, p.ldo, 1, k0 > 0);
  }
}

template <int M = kTileRows>
void strip_of(int64_t rows, const Bf16Product& p, int64_t m, int64_t n, int64_t count, int64_t k0,
              int64_t depth) {
  if (rows >= M) {
    strip<M>(p, m, n, count, k0, depth);
  } else if constexpr (M > 1) {
    strip_of<M - 1>(rows, p, m, n, count, k0, depth);
  }
}

void many_rows(const Bf16Product& p) {
  const int64_t depth = depth_of(p.k);
  for (int64_t n = 0; n < p.n; n += kBlockColumns) {
    const int64_t count = smaller(kBlockColumns, p.n - n);
    for (int64_t k0 = 0; k0 < p.k; k0 += depth) {
      for (int64_t m = 0; m < p.m; m += kTileRows) {
        strip_of(p.m - m, p, m, n, count, k0, smaller(depth, p.k - k0));
      }
    }
  }
}

}  // namespace

void bf16_product_avx512bf16(const Bf16Product& product) {
  if (product.m <= kMatvecRows) {
    few_rows(product);
  } else {
    many_rows(product);
  }
}

}  // namespace gemma4::cpu
