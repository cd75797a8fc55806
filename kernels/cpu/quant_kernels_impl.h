// Products with quantised weights, over a SIMD type S. See QuantKernels.
#pragma once

#include "kernels/cpu/quant_kernels.h"
#include "kernels/cpu/simd_loops.h"

namespace gemma4::cpu {

template <class S>
struct QuantProducts {
  using V = typename S::V;
  using I = typename S::I;
  static constexpr int kBytes = 4 * S::kLanes;  // of a register
  static constexpr int kCols = 2 * S::kLanes;   // of a tile
  static constexpr int kRows = S::kIntTileRows;

  // --- activations
  // --------------------------------------------------------------------------------

  static void quantize(const float* x, int64_t cols, int8_t* q, float* scales) {
    for (int64_t g = 0; g < cols / kGroup; ++g) {
      const float* from = x + g * kGroup;
      V top = S::zero();
      for (int i = 0; i < kGroup; i += S::kLanes) top = S::max(top, S::abs(S::load(from + i)));
      const float absmax = S::largest(top);
      scales[g] = absmax / 127.0f;
      const V inverse = S::set(absmax > 0.0f ? 127.0f / absmax : 0.0f);
      for (int i = 0; i < kGroup; i += S::kLanes) {
        S::store_int8(q + g * kGroup + i, S::mul(S::load(from + i), inverse));
      }
    }
  }

  static void quantize_with(const float* x, int64_t cols, float scale, int8_t* q, float* scales) {
    for (int64_t g = 0; g < cols / kGroup; ++g) scales[g] = scale;
    const V divisor = S::set(scale);
    for (int64_t i = 0; i < cols; i += S::kLanes) {
      const V value = S::div(S::load(x + i), divisor);
      S::store_int8(q + i, S::min(S::max(value, S::set(-128.0f)), S::set(127.0f)));
    }
  }

  template <int Bits>
  static void arrange_as(const int8_t* q, int64_t cols, int8_t* codes, int32_t* offsets) {
    constexpr int kParts = 8 / Bits;
    for (int64_t g = 0; g < cols / kGroup; ++g) {
      const int8_t* from = q + g * kGroup;
      int8_t* to = codes + g * kGroup;
      int32_t sum = 0;
      for (int p = 0; p < kParts; ++p) {
        for (int i = 0; i < kGroup / kParts; ++i) {
          to[p * (kGroup / kParts) + i] = from[i * kParts + p];
        }
      }
      for (int i = 0; i < kGroup; ++i) sum += from[i];
      offsets[g] = -(1 << (Bits - 1)) * sum;
    }
  }

  static void arrange(const int8_t* q, int64_t cols, int bits, int8_t* codes, int32_t* offsets) {
    if (bits == 8) arrange_as<8>(q, cols, codes, offsets);
    if (bits == 4) arrange_as<4>(q, cols, codes, offsets);
    if (bits == 2) arrange_as<2>(q, cols, codes, offsets);
  }

  // --- few rows
  // -----------------------------------------------------------------------------------
  //
  // A register of weight bytes holds the codes of kBytes * 8 / Bits columns. The activations that
  // meet it come as a block: 8 / Bits registers of int8; the offset of every lane, -2^(Bits-1)
  // times the sum of its activations, from which the lane's sum starts; and the scale of every
  // lane. Lane i of a register holds codes of group i / Bits.

  template <int Bits>
  static constexpr int64_t block_bytes() {
    return kBytes * (8 / Bits) + 2 * kBytes;
  }
  template <int Bits>
  static int64_t blocks_of(int64_t cols) {
    const int64_t columns = kBytes * (8 / Bits);
    return (cols + columns - 1) / columns;
  }

  static int64_t few_bytes(int64_t cols, int bits) {
    int64_t bytes = blocks_of<2>(cols) * block_bytes<2>();
    if (bits == 8) bytes = blocks_of<8>(cols) * block_bytes<8>();
    if (bits == 4) bytes = blocks_of<4>(cols) * block_bytes<4>();
    return (bytes + 63) / 64 * 64;
  }

  template <int Bits>
  static void pack_few_as(const int8_t* codes, const float* scales, int64_t cols, char* packed) {
    constexpr int kParts = 8 / Bits;
    constexpr int kGroups = S::kLanes / Bits;  // of a block
    constexpr int kRun = 4 * Bits;             // bytes of a group in each part
    for (int64_t b = 0; b < blocks_of<Bits>(cols); ++b) {
      char* block = packed + b * block_bytes<Bits>();
      auto* lane_scales = reinterpret_cast<float*>(block + kBytes * (kParts + 1));
      for (int g = 0; g < kGroups; ++g) {
        const int64_t group = b * kGroups + g;
        const bool present = group * kGroup < cols;
        for (int p = 0; p < kParts; ++p) {
          for (int i = 0; i < kRun; ++i) {
            block[p * kBytes + g * kRun + i] =
                present ? codes[group * kGroup + p * kRun + i] : int8_t{0};
          }
        }
        for (int i = 0; i < Bits; ++i) lane_scales[g * Bits + i] = present ? scales[group] : 0.0f;
      }
      I sum = S::set_ints(0);
      for (int p = 0; p < kParts; ++p) {
        sum = S::dot4(sum, S::set_bytes(1), S::load_bytes(block + p * kBytes));
      }
      S::store_bytes(block + kParts * kBytes,
                     S::multiply_ints(sum, S::set_ints(-(1 << (Bits - 1)))));
    }
  }

  static void pack_few(const int8_t* codes, const float* scales, int64_t cols, int bits,
                       void* packed) {
    auto* to = static_cast<char*>(packed);
    if (bits == 8) pack_few_as<8>(codes, scales, cols, to);
    if (bits == 4) pack_few_as<4>(codes, scales, cols, to);
    if (bits == 2) pack_few_as<2>(codes, scales, cols, to);
  }

  static constexpr int64_t kPrefetchBytes = 512;

  /// No scale inside a row.
  struct PerRow {};

  /// Adds what a register of weights of each of R rows gives with a block of each of M rows.
  /// Inlined always, for a call would send the sums through memory.
  template <int Bits, class Scale, int M, int R>
  [[gnu::always_inline]] static void add_block(const uint8_t* const* w, const Scale* const* scales,
                                               I flip, const char* x, int64_t x_stride,
                                               V (&sum)[R][M]) {
    constexpr int kParts = 8 / Bits;
    I codes[R][kParts];
    [[maybe_unused]] V scale[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      I all = S::load_bytes(w[r]);
      if constexpr (Bits == 8) all = S::flip(all, flip);
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) codes[r][p] = S::template bit_field<Bits>(all, p);
      if constexpr (!__is_same(Scale, PerRow)) scale[r] = S::template repeat<Bits>(scales[r]);
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      const char* block = x + m * x_stride;
      I values[kParts];
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        values[p] = S::in_register(S::load_bytes(block + p * kBytes));
      }
      const I offset = S::in_register(S::load_bytes(block + kParts * kBytes));
      const I lane_scales = S::in_register(S::load_bytes(block + (kParts + 1) * kBytes));
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        I dots = offset;
#pragma GCC unroll 4
        for (int p = 0; p < kParts; ++p) dots = S::dot4(dots, codes[r][p], values[p]);
        V factor = S::as_floats(lane_scales);
        if constexpr (!__is_same(Scale, PerRow)) factor = S::mul(factor, scale[r]);
        sum[r][m] = S::fma(S::to_floats(dots), factor, sum[r][m]);
      }
    }
  }

  /// R rows of weights, n, n + apart ...; rows past the last are computed as the last, and dropped.
  template <int Bits, class Scale, int M, int R>
  static void dot_rows(const QuantRows& w, int64_t n, int64_t apart, const char* x,
                       int64_t x_stride, float* out, int64_t ldo) {
    constexpr int kGroups = S::kLanes / Bits;
    V sum[R][M];
    const uint8_t* at[R];
    const Scale* scales[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) sum[r][m] = S::zero();
      const int64_t row = n + r * apart < w.rows ? n + r * apart : w.rows - 1;
      at[r] = w.codes + row * w.row_bytes;
      scales[r] = static_cast<const Scale*>(w.scales) + row * (w.cols / kGroup);
    }
    const I flip = S::set_bytes(w.signed_codes ? -128 : 0);
    const int64_t bytes = w.cols * Bits / 8;
    int64_t done = 0;
    for (; done + kBytes <= bytes; done += kBytes) {
      for (int r = 0; r < R; ++r) __builtin_prefetch(at[r] + kPrefetchBytes);
      add_block<Bits, Scale, M, R>(at, scales, flip, x, x_stride, sum);
      x += block_bytes<Bits>();
      for (int r = 0; r < R; ++r) at[r] += kBytes, scales[r] += kGroups;
    }
    if (done < bytes) {
      alignas(64) uint8_t codes[R][kBytes] = {};
      Scale tail_scales[R][kGroups] = {};
      for (int r = 0; r < R; ++r) {
        for (int64_t i = 0; i < bytes - done; ++i) codes[r][i] = at[r][i];
        if constexpr (!__is_same(Scale, PerRow)) {
          for (int64_t i = 0; i < (bytes - done) / (4 * Bits); ++i) {
            tail_scales[r][i] = scales[r][i];
          }
        }
        at[r] = codes[r];
        scales[r] = tail_scales[r];
      }
      add_block<Bits, Scale, M, R>(at, scales, flip, x, x_stride, sum);
    }
    float scale[R];
    for (int r = 0; r < R; ++r) {
      const int64_t row = n + r * apart < w.rows ? n + r * apart : w.rows - 1;
      scale[r] = __is_same(Scale, PerRow) ? row_scale(w, row) : 1.0f;
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
      float sums[R];
#pragma GCC unroll 2
      for (int r = 0; r < R; r += 4) {
        S::sums(sum[r][m], sum[r + 1][m], sum[r + 2][m], sum[r + 3][m], sums + r);
      }
      float* to = out + m * ldo + n;
      for (int r = 0; r < R && n + r * apart < w.rows; ++r) to[r * apart] = sums[r] * scale[r];
    }
  }

  static float row_scale(const QuantRows& w, int64_t row) {
    if (w.scale_type == Element::kF32) return static_cast<const float*>(w.scales)[row];
    const uint16_t* half = static_cast<const uint16_t*>(w.scales) + row;
    if (w.scale_type == Element::kBf16) {
      return __builtin_bit_cast(float, static_cast<uint32_t>(*half) << 16);
    }
    return S::sum(S::load_f16_part(half, 1));
  }

  /// Four rows of weights at a time, far apart: each is a stream that goes on through the rows that
  /// follow, as the hardware's prefetch likes it. The rows of activations go in fours and what is
  /// left of them over weights that are then in the first cache.
  template <int Bits, class Scale>
  static void matvec_as(const QuantRows& w, const char* packed, int64_t m, float* out,
                        int64_t ldo) {
    const int64_t stride = few_bytes(w.cols, Bits);
    constexpr int R = 4;
    const int64_t apart = (w.rows + R - 1) / R;
    for (int64_t n = 0; n < apart; ++n) {
      int64_t r = 0;
      for (; r + 4 <= m; r += 4) {
        dot_rows<Bits, Scale, 4, R>(w, n, apart, packed + r * stride, stride, out + r * ldo, ldo);
      }
      if (m - r == 3) {
        dot_rows<Bits, Scale, 3, R>(w, n, apart, packed + r * stride, stride, out + r * ldo, ldo);
      } else if (m - r == 2) {
        dot_rows<Bits, Scale, 2, R>(w, n, apart, packed + r * stride, stride, out + r * ldo, ldo);
      } else if (m - r == 1) {
        dot_rows<Bits, Scale, 1, R>(w, n, apart, packed + r * stride, stride, out + r * ldo, ldo);
      }
    }
  }

  template <int Bits>
  static void matvec_of(const QuantRows& w, const char* packed, int64_t m, float* out,
                        int64_t ldo) {
    if (!w.grouped) {
      matvec_as<Bits, PerRow>(w, packed, m, out, ldo);
    } else if (w.scale_type == Element::kBf16) {
      matvec_as<Bits, uint16_t>(w, packed, m, out, ldo);
    } else {
      matvec_as<Bits, float>(w, packed, m, out, ldo);
    }
  }

  static void matvec(const QuantRows& w, const void* packed, int64_t m, float* out, int64_t ldo) {
    const auto* x = static_cast<const char*>(packed);
    if (w.bits == 8) matvec_of<8>(w, x, m, out, ldo);
    if (w.bits == 4) matvec_of<4>(w, x, m, out, ldo);
    if (w.bits == 2) matvec_of<2>(w, x, m, out, ldo);
  }

  // --- many rows
  // ----------------------------------------------------------------------------------

  static constexpr int64_t kDepth = 1024;  // columns at a time: a panel of weights stays in L1
  static constexpr int kSteps = kGroup / 4;

  static int64_t gemm_scratch() { return kCols * kDepth + (kDepth / kGroup + 1) * kCols * 4; }

  /// Weights [n, n + kCols) x [k0, k0 + depth) as [group][step][kCols] quadruples of bytes; rows
  /// past the last are 0.
  template <int Bits>
  static void pack_panel(const QuantRows& w, int64_t n, int64_t k0, int64_t depth, uint8_t* panel) {
    constexpr int kParts = 8 / Bits;
    constexpr int kPerPart = S::kLanes / kParts;
    const I flip = S::set_bytes(w.signed_codes ? -128 : 0);
    alignas(64) uint8_t tail[kBytes / kParts];
    V block[S::kLanes];
    for (int first = 0; first < kCols; first += S::kLanes) {
      for (int64_t k = 0; k < depth; k += kBytes) {
        const int64_t bytes = (depth - k < kBytes ? depth - k : kBytes) / kParts;
        for (int i = 0; i < S::kLanes; ++i) {
          const int64_t row = n + first + i;
          if (row >= w.rows) {
            block[i] = S::zero();
            continue;
          }
          const uint8_t* from = w.codes + row * w.row_bytes + (k0 + k) / kParts;
          if (bytes < kBytes / kParts) {
            for (int64_t b = 0; b < kBytes / kParts; ++b) tail[b] = b < bytes ? from[b] : 0;
            from = tail;
          }
          I codes = S::template expand<Bits>(from);
          if constexpr (Bits == 8) codes = S::flip(codes, flip);
          block[i] = S::as_floats(codes);
        }
        S::transpose(block);
        for (int j = 0; j < S::kLanes; ++j) {
          const int in_part = j % kPerPart;
          const int64_t group = k / kGroup + in_part / Bits;
          const int step = j / kPerPart * Bits + in_part % Bits;
          if (group * kGroup >= depth) continue;
          S::store_bytes(panel + ((group * kSteps + step) * kCols + first) * 4,
                         S::as_ints(block[j]));
        }
      }
    }
  }

  /// Scales of the panel: [group][kCols], or [kCols] when there is one a row.
  static void pack_scales(const QuantRows& w, int64_t n, int64_t k0, int64_t depth, float* scales) {
    for (int i = 0; i < kCols; ++i) {
      const int64_t row = n + i;
      if (!w.grouped) {
        scales[i] = row < w.rows ? row_scale(w, row) : 0.0f;
        continue;
      }
      for (int64_t g = 0; g < depth / kGroup; ++g) {
        scales[g * kCols + i] =
            row < w.rows ? row_scale(w, row * (w.cols / kGroup) + k0 / kGroup + g) : 0.0f;
      }
    }
  }

  struct TileInput {
    const int8_t* codes;
    int64_t stride;
    const float* scales;
    const int32_t* offsets;
    int64_t group_stride;  // of scales and offsets
  };

  template <int R, bool Grouped>
  static void tile(const TileInput& x, int64_t groups, const uint8_t* panel, const float* scales,
                   float* c, int64_t ldc, bool add) {
    V sum[R][2];
    for (int r = 0; r < R; ++r) sum[r][0] = S::zero(), sum[r][1] = S::zero();
    for (int64_t g = 0; g < groups; ++g) {
      I dots[R][2];
      for (int r = 0; r < R; ++r) {
        dots[r][0] = dots[r][1] = S::set_ints(x.offsets[r * x.group_stride + g]);
      }
#pragma GCC unroll 8
      for (int s = 0; s < kSteps; ++s) {
        const I w0 = S::load_bytes(panel);
        const I w1 = S::load_bytes(panel + kBytes);
        panel += 2 * kBytes;
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) {
          int32_t four;
          __builtin_memcpy(&four, x.codes + r * x.stride + g * kGroup + s * 4, 4);
          const I a = S::set_ints(four);
          dots[r][0] = S::dot4(dots[r][0], w0, a);
          dots[r][1] = S::dot4(dots[r][1], w1, a);
        }
      }
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        const V scale = S::set(x.scales[r * x.group_stride + g]);
        V d0 = S::to_floats(dots[r][0]);
        V d1 = S::to_floats(dots[r][1]);
        if constexpr (Grouped) {
          d0 = S::mul(d0, S::load(scales + g * kCols));
          d1 = S::mul(d1, S::load(scales + g * kCols + S::kLanes));
        }
        sum[r][0] = S::fma(d0, scale, sum[r][0]);
        sum[r][1] = S::fma(d1, scale, sum[r][1]);
      }
    }
    for (int r = 0; r < R; ++r) {
      for (int h = 0; h < 2; ++h) {
        float* to = c + r * ldc + h * S::kLanes;
        if constexpr (!Grouped) sum[r][h] = S::mul(sum[r][h], S::load(scales + h * S::kLanes));
        if (add) sum[r][h] = S::add(sum[r][h], S::load(to));
        S::store(to, sum[r][h]);
      }
    }
  }

  template <bool Grouped, int R = kRows>
  static void tile_of(int rows, const TileInput& x, int64_t groups, const uint8_t* panel,
                      const float* scales, float* c, int64_t ldc, bool add) {
    if (rows == R) {
      tile<R, Grouped>(x, groups, panel, scales, c, ldc, add);
    } else if constexpr (R > 1) {
      tile_of<Grouped, R - 1>(rows, x, groups, panel, scales, c, ldc, add);
    }
  }

  template <int Bits, bool Grouped>
  static void gemm_as(const QuantRows& w, const QuantActivations& x, int64_t m, float* out,
                      int64_t ldo, char* scratch) {
    auto* panel = reinterpret_cast<uint8_t*>(scratch);
    auto* scales = reinterpret_cast<float*>(scratch + kCols * kDepth);
    alignas(64) float edge[kRows * kCols];
    const int64_t group_stride = w.cols / kGroup;
    for (int64_t n = 0; n < w.rows; n += kCols) {
      const int64_t cols = w.rows - n < kCols ? w.rows - n : kCols;
      for (int64_t k0 = 0; k0 < w.cols; k0 += kDepth) {
        const int64_t depth = w.cols - k0 < kDepth ? w.cols - k0 : kDepth;
        pack_panel<Bits>(w, n, k0, depth, panel);
        pack_scales(w, n, k0, depth, scales);
        for (int64_t r = 0; r < m; r += kRows) {
          const int rows = static_cast<int>(m - r < kRows ? m - r : kRows);
          const int64_t first_group = r * group_stride + k0 / kGroup;
          const TileInput input{x.codes + r * x.stride + k0, x.stride, x.scales + first_group,
                                x.offsets + first_group, group_stride};
          float* c = out + r * ldo + n;
          if (cols == kCols) {
            tile_of<Grouped>(rows, input, depth / kGroup, panel, scales, c, ldo, k0 > 0);
            continue;
          }
          tile_of<Grouped>(rows, input, depth / kGroup, panel, scales, edge, kCols, false);
          for (int i = 0; i < rows; ++i) {
            for (int64_t j = 0; j < cols; ++j) {
              c[i * ldo + j] = k0 > 0 ? c[i * ldo + j] + edge[i * kCols + j] : edge[i * kCols + j];
            }
          }
        }
      }
    }
  }

  static void gemm(const QuantRows& w, const QuantActivations& x, int64_t m, float* out,
                   int64_t ldo, void* scratch) {
    auto* memory = static_cast<char*>(scratch);
    if (w.bits == 8 && w.grouped) gemm_as<8, true>(w, x, m, out, ldo, memory);
    if (w.bits == 8 && !w.grouped) gemm_as<8, false>(w, x, m, out, ldo, memory);
    if (w.bits == 4 && w.grouped) gemm_as<4, true>(w, x, m, out, ldo, memory);
    if (w.bits == 4 && !w.grouped) gemm_as<4, false>(w, x, m, out, ldo, memory);
    if (w.bits == 2 && w.grouped) gemm_as<2, true>(w, x, m, out, ldo, memory);
    if (w.bits == 2 && !w.grouped) gemm_as<2, false>(w, x, m, out, ldo, memory);
  }

  // --- float activations
  // --------------------------------------------------------------------------

  template <int Bits>
  static void dequantize_as(const QuantRows& w, int64_t row, float* out) {
    constexpr int kParts = 8 / Bits;
    constexpr int kMask = (1 << Bits) - 1;
    const uint8_t* codes = w.codes + row * w.row_bytes;
    const int flip = w.signed_codes ? 128 : 0;
    const int64_t group = w.grouped ? kGroup : w.cols;
    for (int64_t g = 0; g < w.cols / group; ++g) {
      const float scale = row_scale(w, row * (w.cols / group) + g);
      float* to = out + g * group;
      const uint8_t* from = codes + g * group / kParts;
      for (int64_t i = 0; i < group / kParts; ++i) {
        const int byte = from[i] ^ flip;
        for (int p = 0; p < kParts; ++p) {
          const int code = ((byte >> (p * Bits)) & kMask) - (1 << (Bits - 1));
          to[i * kParts + p] = static_cast<float>(code) * scale;
        }
      }
    }
  }

  static void dequantize(const QuantRows& w, int64_t row, float* out) {
    if (w.bits == 8) dequantize_as<8>(w, row, out);
    if (w.bits == 4) dequantize_as<4>(w, row, out);
    if (w.bits == 2) dequantize_as<2>(w, row, out);
  }

  static QuantKernels table() {
    return {quantize, quantize_with, arrange,      matvec,    few_bytes,
            pack_few, gemm,          gemm_scratch, dequantize};
  }
};

}  // namespace gemma4::cpu
