// What the kernels share: element types, loads, exp and tanh, over a SIMD type S (simd_*.h).
// Everything is a template over S, so that each instruction set has its own instances.
#pragma once

#include <cstdint>

#include "kernels/cpu/kernel_table.h"

namespace gemma4::cpu {

/// Tags for the element types, in the order of Element.
struct AsF32 {
  using Storage = float;
};
struct AsBf16 {
  using Storage = uint16_t;
};
struct AsF16 {
  using Storage = uint16_t;
};
struct AsInt8 {
  using Storage = int8_t;
};
struct AsFp8 {
  using Storage = uint8_t;
};

template <class S, class T>
inline typename S::V load_as(const typename T::Storage* p) {
  if constexpr (__is_same(T, AsF32)) {
    return S::load(p);
  } else if constexpr (__is_same(T, AsBf16)) {
    return S::load_bf16(p);
  } else if constexpr (__is_same(T, AsInt8)) {
    return S::load_int8(p);
  } else if constexpr (__is_same(T, AsFp8)) {
    return S::load_fp8(p);
  } else {
    return S::load_f16(p);
  }
}

template <class S, class T>
inline typename S::V load_part_as(const typename T::Storage* p, int64_t count) {
  if constexpr (__is_same(T, AsF32)) {
    return S::load_part(p, count);
  } else if constexpr (__is_same(T, AsBf16)) {
    return S::load_bf16_part(p, count);
  } else if constexpr (__is_same(T, AsInt8)) {
    return S::load_int8_part(p, count);
  } else if constexpr (__is_same(T, AsFp8)) {
    return S::load_fp8_part(p, count);
  } else {
    return S::load_f16_part(p, count);
  }
}

/// e^x to about 1 ulp; 0 below -87.3, e^88.7 above 88.7. The usual reduction to [-ln2/2, ln2/2] and
/// a polynomial of degree 7 (coefficients: Cephes expf).
template <class S>
inline typename S::V exp(typename S::V x) {
  using V = typename S::V;
  const V lowest = S::set(-87.33654f);
  const V clamped = S::min(S::set(88.72283f), S::max(lowest, x));
  const V n = S::round(S::mul(clamped, S::set(1.44269504088896341f)));
  V r = S::fnma(n, S::set(0.693359375f), clamped);
  r = S::fnma(n, S::set(-2.12194440e-4f), r);
  V p = S::set(1.9875691500e-4f);
  p = S::fma(p, r, S::set(1.3981999507e-3f));
  p = S::fma(p, r, S::set(8.3334519073e-3f));
  p = S::fma(p, r, S::set(4.1665795894e-2f));
  p = S::fma(p, r, S::set(1.6666665459e-1f));
  p = S::fma(p, r, S::set(5.0000001201e-1f));
  p = S::add(S::fma(p, S::mul(r, r), r), S::set(1.0f));
  return S::select_less(x, lowest, S::zero(), S::scale_by_power(p, n));
}

/// tanh to about 2 ulp: an odd polynomial near 0 (Cephes tanhf), 1 - 2 / (e^2x + 1) elsewhere.
template <class S>
inline typename S::V tanh(typename S::V x) {
  using V = typename S::V;
  const V size = S::abs(x);
  const V z = S::mul(x, x);
  V p = S::set(-5.70498872745e-3f);
  p = S::fma(p, z, S::set(2.06390887954e-2f));
  p = S::fma(p, z, S::set(-5.37397155531e-2f));
  p = S::fma(p, z, S::set(1.33314422036e-1f));
  p = S::fma(p, z, S::set(-3.33332819422e-1f));
  const V near = S::fma(S::mul(p, z), x, x);
  const V e = exp<S>(S::add(size, size));
  const V far = S::sub(S::set(1.0f), S::div(S::set(2.0f), S::add(e, S::set(1.0f))));
  return S::select_less(size, S::set(0.625f), near, S::copy_sign(far, x));
}

/// 0.5 z (1 + tanh(u)), u = sqrt(2/pi) (z + 0.044715 z^3), as z / (1 + e^-2u).
template <class S>
inline typename S::V gelu(typename S::V z) {
  using V = typename S::V;
  const V cubic = S::fma(S::mul(S::mul(z, z), S::set(0.044715f)), z, z);
  const V e = exp<S>(S::mul(cubic, S::set(-1.5957691216057308f)));
  return S::div(z, S::add(S::set(1.0f), e));
}

/// Calls whole(i) for i = 0, lanes, ... and part(i, rest) for what is left of `count`.
template <class S, class Whole, class Part>
inline void for_lanes(int64_t count, const Whole& whole, const Part& part) {
  int64_t i = 0;
  for (; i + S::kLanes <= count; i += S::kLanes) whole(i);
  if (i < count) part(i, count - i);
}

}  // namespace gemma4::cpu
