// Eight floats in an AVX register (AVX2, FMA, F16C). For *_avx2.cpp files only (see
// kernel_table.h); the functions are those of simd_avx512.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace gemma4::cpu {

struct Avx2 {
  using V = __m256;
  using I = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kTileRows = 6;     // x 2 registers of columns = 12 accumulators of 16
  static constexpr int kIntTileRows = 2;  // x 2 registers, sums in both integers and floats = 8

  static V zero() { return _mm256_setzero_ps(); }
  static V set(float value) { return _mm256_set1_ps(value); }
  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
  static V max(V a, V b) { return _mm256_max_ps(a, b); }
  static V min(V a, V b) { return _mm256_min_ps(a, b); }
  static V abs(V a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
  static V round(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static V truncate(V a) { return _mm256_round_ps(a, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC); }
  static V scale_by_power(V a, V n) {
    // Two steps, since 2^128 and 2^-127 are no normal floats.
    const __m256i whole = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(a, power(half)), power(_mm256_sub_epi32(whole, half)));
  }
  static V select_less(V x, V y, V a, V b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
  }
  static V copy_sign(V a, V b) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, a), _mm256_and_ps(sign, b));
  }
  static float sum(V a) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
  }
  static void sums(V a, V b, V c, V d, float* out) {
    const V ab = add(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
    const V cd = add(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
    const V all = add(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
  }
  static float largest(V a) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
  }

  /// The same value, that the compiler does not load again for each use.
  static V in_register(V a) {
    asm("" : "+x"(a));
    return a;
  }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static V load_bf16(const uint16_t* p) {
    return widen_bf16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static V load_f16(const uint16_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  static V load_int8(const int8_t* p) {
    return widen_int8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static V load_fp8(const uint8_t* p) {
    return widen_fp8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  static void store(float* p, V a) { _mm256_storeu_ps(p, a); }

  static I in_register(I a) {
    asm("" : "+x"(a));
    return a;
  }
  static I load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
  static void store_bytes(void* p, I a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
  static I set_bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
  static I set_ints(int32_t value) { return _mm256_set1_epi32(value); }
  static I flip(I a, I bits) { return _mm256_xor_si256(a, bits); }
  static I as_ints(V a) { return _mm256_castps_si256(a); }
  static V as_floats(I a) { return _mm256_castsi256_ps(a); }
  static V to_floats(I a) { return _mm256_cvtepi32_ps(a); }
  static I multiply_ints(I a, I b) { return _mm256_mullo_epi32(a, b); }
  static void store_int8(int8_t* p, V a) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow_to_int8(a));
  }
  template <int Bits>
  static I bit_field(I a, int part) {
    if constexpr (Bits == 8) return a;
    return _mm256_and_si256(_mm256_srli_epi16(a, part * Bits), set_bytes((1 << Bits) - 1));
  }
  template <int Bits>
  static I expand(const uint8_t* p) {
    if constexpr (Bits == 8) {
      return load_bytes(p);
    } else if constexpr (Bits == 4) {
      const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
      return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(low, 4), low), set_bytes(15));
    } else {
      const I all = _mm256_set1_epi64x(
          _mm_cvtsi128_si64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
      const I shifts = _mm256_set_epi64x(6, 4, 2, 0);
      return _mm256_and_si256(_mm256_srlv_epi64(all, shifts), set_bytes(3));
    }
  }
  static I dot4(I sum, I a, I b) {
    // Not the shorter way over maddubs, which saturates: 255 * 127 twice is beyond int16.
    const I even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)),
                                     _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
    const I odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
  }
  template <int Each>
  static V repeat(const uint16_t* bf16) {
    alignas(32) uint32_t bits[8];
    for (int i = 0; i < 8; ++i) bits[i] = static_cast<uint32_t>(bf16[i / Each]) << 16;
    return _mm256_castsi256_ps(_mm256_load_si256(reinterpret_cast<const __m256i*>(bits)));
  }
  template <int Each>
  static V repeat(const float* scales) {
    alignas(32) float lanes[8];
    for (int i = 0; i < 8; ++i) lanes[i] = scales[i / Each];
    return _mm256_load_ps(lanes);
  }

  static V load_part(const float* p, int64_t count) { return _mm256_maskload_ps(p, mask(count)); }
  static V load_bf16_part(const uint16_t* p, int64_t count) {
    return widen_bf16(load_words(p, count));
  }
  static V load_f16_part(const uint16_t* p, int64_t count) {
    return _mm256_cvtph_ps(load_words(p, count));
  }
  static V load_int8_part(const int8_t* p, int64_t count) {
    return widen_int8(load_first_bytes(p, count));
  }
  static V load_fp8_part(const uint8_t* p, int64_t count) {
    return widen_fp8(load_first_bytes(p, count));
  }
  static void store_part(float* p, V a, int64_t count) { _mm256_maskstore_ps(p, mask(count), a); }

  static void store_bf16(uint16_t* p, V a) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_to_bf16(a));
  }
  static void store_bf16_part(uint16_t* p, V a, int64_t count) {
    alignas(16) uint16_t words[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(words), narrow_to_bf16(a));
    for (int64_t i = 0; i < count; ++i) p[i] = words[i];
  }

  static void store_int8_part(int8_t* p, V a, int64_t count) {
    store_first_bytes(p, narrow_to_int8(a), count);
  }
  static void store_fp8(uint8_t* p, V a) {
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow_to_fp8(a));
  }
  static void store_fp8_part(uint8_t* p, V a, int64_t count) {
    store_first_bytes(p, narrow_to_fp8(a), count);
  }

  static void transpose(V* r) {
    V t[8];
    for (int i = 0; i < 8; i += 4) {
      const V a = _mm256_unpacklo_ps(r[i], r[i + 1]);
      const V b = _mm256_unpackhi_ps(r[i], r[i + 1]);
      const V c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]);
      const V d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
      t[i] = _mm256_shuffle_ps(a, c, 0x44), t[i + 1] = _mm256_shuffle_ps(a, c, 0xEE);
      t[i + 2] = _mm256_shuffle_ps(b, d, 0x44), t[i + 3] = _mm256_shuffle_ps(b, d, 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
  }

 private:
  static __m256i mask(int64_t count) {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
  }
  static __m128i load_words(const uint16_t* p, int64_t count) {
    alignas(16) uint16_t words[8] = {};
    for (int64_t i = 0; i < count; ++i) words[i] = p[i];
    return _mm_load_si128(reinterpret_cast<const __m128i*>(words));
  }
  static __m128i load_first_bytes(const void* p, int64_t count) {
    uint64_t bytes = 0;
    __builtin_memcpy(&bytes, p, static_cast<size_t>(count));
    return _mm_cvtsi64_si128(static_cast<int64_t>(bytes));
  }
  static void store_first_bytes(void* p, __m128i bytes, int64_t count) {
    const int64_t all = _mm_cvtsi128_si64(bytes);
    __builtin_memcpy(p, &all, static_cast<size_t>(count));
  }
  static __m128i narrow_to_int8(V a) {
    const __m256i ints = _mm256_cvtps_epi32(a);
    const __m128i words =
        _mm_packs_epi32(_mm256_castsi256_si128(ints), _mm256_extracti128_si256(ints, 1));
    return _mm_packs_epi16(words, words);
  }
  static __m128i narrow_to_fp8(V a) {
    const V size = _mm256_min_ps(abs(a), set(448.0f));
    const I bits = as_ints(size);
    const I odd = _mm256_and_si256(_mm256_srli_epi32(bits, 20), set_ints(1));
    const I rounded = _mm256_add_epi32(bits, _mm256_add_epi32(odd, set_ints(0x7FFFF)));
    const I normal = _mm256_sub_epi32(_mm256_srli_epi32(rounded, 20), set_ints((127 - 7) << 3));
    const I subnormal = _mm256_and_si256(as_ints(add(size, set(0x1p14f))), set_ints(15));
    const V small = _mm256_cmp_ps(size, set(0x1p-6f), _CMP_LT_OQ);
    const V nan = _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
    I code = _mm256_blendv_epi8(normal, subnormal, as_ints(small));
    code = _mm256_blendv_epi8(code, set_ints(0x7F), as_ints(nan));
    code =
        _mm256_or_si256(code, _mm256_and_si256(_mm256_srli_epi32(as_ints(a), 24), set_ints(0x80)));
    const __m128i words =
        _mm_packus_epi32(_mm256_castsi256_si128(code), _mm256_extracti128_si256(code, 1));
    return _mm_packus_epi16(words, words);
  }
  static V widen_int8(__m128i bytes) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)); }
  static V widen_fp8(__m128i bytes) {
    const __m128i words = _mm_slli_epi16(_mm_cvtepi8_epi16(bytes), 7);
    const __m128i bits = _mm_and_si128(words, _mm_set1_epi16(static_cast<int16_t>(0xBFFF)));
    const __m128i nan = _mm_cmpeq_epi16(_mm_or_si128(bits, _mm_set1_epi16(INT16_MIN)),
                                        _mm_set1_epi16(static_cast<int16_t>(0xBF80)));
    return _mm256_cvtph_ps(_mm_blendv_epi8(bits, _mm_set1_epi16(0x7E00), nan));
  }
  static __m128i narrow_to_bf16(V a) {
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i rounded =
        _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000));
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i high = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
    return _mm_packus_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
  }
  static V widen_bf16(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  static V power(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
};

}  // namespace gemma4::cpu
