// Sixteen floats in an AVX-512 register. For *_avx512*.cpp files only (see kernel_table.h).
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace gemma4::cpu {

/// `Vnni`: with AVX512-VNNI's dot product. A parameter, so that the two have no function in common.
template <bool Vnni>
struct Avx512Simd {
  using V = __m512;
  using I = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kTileRows = 14;    // x 2 registers of columns = 28 accumulators of 32
  static constexpr int kIntTileRows = 6;  // x 2 registers, sums in both integers and floats = 24

  static V zero() { return _mm512_setzero_ps(); }
  static V set(float value) { return _mm512_set1_ps(value); }
  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  /// a * b + c
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  /// c - a * b
  static V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  /// The second operand when either is NaN.
  static V max(V a, V b) { return _mm512_max_ps(a, b); }
  static V min(V a, V b) { return _mm512_min_ps(a, b); }
  static V abs(V a) { return _mm512_abs_ps(a); }
  static V round(V a) {
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static V truncate(V a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  /// a * 2^n for an integral n in [-127, 128]
  static V scale_by_power(V a, V n) { return _mm512_scalef_ps(a, n); }
  /// a where x < y, else b
  static V select_less(V x, V y, V a, V b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
  }
  /// The magnitude of a with the sign of b
  static V copy_sign(V a, V b) {
    const __m512 sign = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(sign, a), _mm512_and_ps(sign, b));
  }
  static float sum(V a) { return _mm512_reduce_add_ps(a); }
  /// The sums of four registers.
  static void sums(V a, V b, V c, V d, float* out) {
    const V ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    const V cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    const V all = add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
  static float largest(V a) { return _mm512_reduce_max_ps(a); }

  /// The same value, that the compiler does not load again for each use.
  static V in_register(V a) {
    asm("" : "+v"(a));
    return a;
  }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static V load_bf16(const uint16_t* p) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static V load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  static V load_int8(const int8_t* p) {
    return widen_int8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// e4m3 as kFp8Unit of their values: their bits are those of float16 values 2^8 times as small.
  static V load_fp8(const uint8_t* p) {
    return widen_fp8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(float* p, V a) { _mm512_storeu_ps(p, a); }

  // --- bytes and 32-bit integers
  // ------------------------------------------------------------------

  static I in_register(I a) {
    asm("" : "+v"(a));
    return a;
  }
  static I load_bytes(const void* p) { return _mm512_loadu_si512(p); }
  static void store_bytes(void* p, I a) { _mm512_storeu_si512(p, a); }
  static I set_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
  static I set_ints(int32_t value) { return _mm512_set1_epi32(value); }
  static I flip(I a, I bits) { return _mm512_xor_si512(a, bits); }
  static I as_ints(V a) { return _mm512_castps_si512(a); }
  static V as_floats(I a) { return _mm512_castsi512_ps(a); }
  static V to_floats(I a) { return _mm512_cvtepi32_ps(a); }
  static I multiply_ints(I a, I b) { return _mm512_mullo_epi32(a, b); }
  /// Rounds to nearest, ties to even, and stores as int8; the values must fit.
  static void store_int8(int8_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
  }
  /// Bits [part * Bits, (part + 1) * Bits) of every byte.
  template <int Bits>
  static I bit_field(I a, int part) {
    if constexpr (Bits == 8) return a;
    return _mm512_and_si512(_mm512_srli_epi16(a, part * Bits), set_bytes((1 << Bits) - 1));
  }
  /// A register of codes of `Bits` bits as bytes: all of part 0, then of part 1 ...
  template <int Bits>
  static I expand(const uint8_t* p) {
    if constexpr (Bits == 8) {
      return load_bytes(p);
    } else if constexpr (Bits == 4) {
      const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
      const I both = _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_srli_epi16(low, 4), 1);
      return _mm512_and_si512(both, set_bytes(15));
    } else {
      const I all = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
      const I shifts = _mm512_set_epi64(6, 6, 4, 4, 2, 2, 0, 0);
      return _mm512_and_si512(_mm512_srlv_epi64(all, shifts), set_bytes(3));
    }
  }
  /// sum[i] += the four products of unsigned bytes a and signed bytes b at i.
  static I dot4(I sum, I a, I b) {
    if constexpr (Vnni) {
      return _mm512_dpbusd_epi32(sum, a, b);
    } else {
      const I even = _mm512_madd_epi16(_mm512_and_si512(a, _mm512_set1_epi16(255)),
                                       _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
      const I odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));
      return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
    }
  }
  /// The next 16 / Each scales, each repeated `Each` times.
  template <int Each>
  static V repeat(const uint16_t* bf16) {
    constexpr int kWords = 16 / Each;
    __m128i words;
    if constexpr (kWords == 2) {
      words = _mm_loadu_si32(bf16);
    } else if constexpr (kWords == 4) {
      words = _mm_loadu_si64(bf16);
    } else {
      words = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bf16));
    }
    // Word 2 i + 1 of the result is word i / Each; the even ones, low halves of floats, are 0.
    const I lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const I index = _mm512_slli_epi32(_mm512_srli_epi32(lane, log2(Each)), 16);
    return _mm512_castsi512_ps(
        _mm512_maskz_permutexvar_epi16(0xAAAAAAAAu, index, _mm512_castsi128_si512(words)));
  }
  template <int Each>
  static V repeat(const float* scales) {
    const I lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    return _mm512_permutexvar_ps(_mm512_srli_epi32(lane, log2(Each)), load_part(scales, 16 / Each));
  }

  /// The first `count` < 16 elements; zeros behind them, and nothing there is read or written.
  static V load_part(const float* p, int64_t count) {
    return _mm512_maskz_loadu_ps(mask(count), p);
  }
  static V load_bf16_part(const uint16_t* p, int64_t count) {
    const __m256i bits = _mm256_maskz_loadu_epi16(mask(count), p);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  static V load_f16_part(const uint16_t* p, int64_t count) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask(count), p));
  }
  static V load_int8_part(const int8_t* p, int64_t count) {
    return widen_int8(_mm_maskz_loadu_epi8(mask(count), p));
  }
  static V load_fp8_part(const uint8_t* p, int64_t count) {
    return widen_fp8(_mm_maskz_loadu_epi8(mask(count), p));
  }
  static void store_part(float* p, V a, int64_t count) { _mm512_mask_storeu_ps(p, mask(count), a); }

  /// Rounds to nearest, ties to even; NaN stays NaN.
  static void store_bf16(uint16_t* p, V a) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_to_bf16(a));
  }
  static void store_bf16_part(uint16_t* p, V a, int64_t count) {
    _mm256_mask_storeu_epi16(p, mask(count), narrow_to_bf16(a));
  }

  static void store_int8_part(int8_t* p, V a, int64_t count) {
    _mm_mask_storeu_epi8(p, mask(count), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)));
  }
  /// As to_fp8_e4m3 of lib/quant/fp8.h.
  static void store_fp8(uint8_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_to_fp8(a));
  }
  static void store_fp8_part(uint8_t* p, V a, int64_t count) {
    _mm_mask_storeu_epi8(p, mask(count), narrow_to_fp8(a));
  }

  /// Transposes 16 x 16 in place: 2 x 2 blocks of elements, then of pairs, then of quarters.
  static void transpose(V* r) {
    V t[16];
    for (int i = 0; i < 16; i += 4) {
      const V a = _mm512_unpacklo_ps(r[i], r[i + 1]);
      const V b = _mm512_unpackhi_ps(r[i], r[i + 1]);
      const V c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]);
      const V d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = low_pairs(a, c), t[i + 1] = high_pairs(a, c);
      t[i + 2] = low_pairs(b, d), t[i + 3] = high_pairs(b, d);
    }
    for (int i = 0; i < 4; ++i) {
      const V a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88);
      const V b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xDD);
      const V c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
      const V d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xDD);
      r[i] = _mm512_shuffle_f32x4(a, c, 0x88);
      r[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
      r[i + 8] = _mm512_shuffle_f32x4(a, c, 0xDD);
      r[i + 12] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }
  }

 private:
  static V widen_int8(__m128i bytes) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)); }
  static V widen_fp8(__m128i bytes) {
    const __m256i words = _mm256_slli_epi16(_mm256_cvtepi8_epi16(bytes), 7);
    // Bit 14 repeats the sign: it is the top bit of float16's exponent.
    const __m256i bits = _mm256_and_si256(words, _mm256_set1_epi16(static_cast<int16_t>(0xBFFF)));
    const __mmask16 nan =
        _mm256_cmpeq_epi16_mask(_mm256_or_si256(bits, _mm256_set1_epi16(INT16_MIN)),
                                _mm256_set1_epi16(static_cast<int16_t>(0xBF80)));
    return _mm512_cvtph_ps(_mm256_mask_mov_epi16(bits, nan, _mm256_set1_epi16(0x7E00)));
  }
  static __mmask16 mask(int64_t count) { return static_cast<__mmask16>((1u << count) - 1u); }
  static __m256i narrow_to_bf16(V a) {
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded =
        _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x00400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i chosen = _mm512_mask_blend_epi32(nan, rounded, quiet);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(chosen, 16));
  }
  static __m128i narrow_to_fp8(V a) {
    const V size = _mm512_min_ps(_mm512_abs_ps(a), set(448.0f));
    const I bits = _mm512_castps_si512(size);
    const I odd = _mm512_and_si512(_mm512_srli_epi32(bits, 20), set_ints(1));
    const I rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, set_ints(0x7FFFF)));
    const I normal = _mm512_sub_epi32(_mm512_srli_epi32(rounded, 20), set_ints((127 - 7) << 3));
    const I subnormal = _mm512_and_si512(as_ints(add(size, set(0x1p14f))), set_ints(15));
    I code = _mm512_mask_mov_epi32(normal, _mm512_cmp_ps_mask(size, set(0x1p-6f), _CMP_LT_OQ),
                                   subnormal);
    code = _mm512_mask_mov_epi32(code, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), set_ints(0x7F));
    const I sign = _mm512_and_si512(_mm512_srli_epi32(as_ints(a), 24), set_ints(0x80));
    return _mm512_cvtepi32_epi8(_mm512_or_si512(code, sign));
  }
  static constexpr int log2(int n) { return n == 1 ? 0 : 1 + log2(n / 2); }
  static V low_pairs(V a, V b) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
  static V high_pairs(V a, V b) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
  }
};

using Avx512 = Avx512Simd<false>;
using Avx512Vnni = Avx512Simd<true>;

}  // namespace gemma4::cpu
