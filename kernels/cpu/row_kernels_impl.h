// Kernels on single rows and flat arrays, over a SIMD type S. See RowKernels for what they do.
#pragma once

#include "kernels/cpu/simd_loops.h"

namespace gemma4::cpu {

template <class S>
struct Rows {
  using V = typename S::V;

  /// 1 / sqrt(mean(x^2) + eps)
  static float inverse_rms(const float* x, float eps, int64_t cols) {
    V a = S::zero();
    V b = S::zero();
    int64_t i = 0;
    for (; i + 2 * S::kLanes <= cols; i += 2 * S::kLanes) {
      const V u = S::load(x + i);
      const V v = S::load(x + i + S::kLanes);
      a = S::fma(u, u, a);
      b = S::fma(v, v, b);
    }
    for (; i < cols; i += S::kLanes) {
      const V u = cols - i >= S::kLanes ? S::load(x + i) : S::load_part(x + i, cols - i);
      a = S::fma(u, u, a);
    }
    const float mean = S::sum(S::add(a, b)) / static_cast<float>(cols);
    return 1.0f / __builtin_sqrtf(mean + eps);
  }

  static void rms_norm(const float* x, const float* weight, float eps, int64_t cols, float* out) {
    const V inverse = S::set(inverse_rms(x, eps, cols));
    for_lanes<S>(
        cols,
        [&](int64_t i) {
          const V y = S::mul(S::load(x + i), inverse);
          S::store(out + i, weight == nullptr ? y : S::mul(y, S::load(weight + i)));
        },
        [&](int64_t i, int64_t n) {
          const V y = S::mul(S::load_part(x + i, n), inverse);
          S::store_part(out + i, weight == nullptr ? y : S::mul(y, S::load_part(weight + i, n)), n);
        });
  }

  static void close_block(float* x, const float* branch, const float* post, float eps, float scale,
                          const float* next, float* normed, int64_t cols) {
    const V inverse = S::set(inverse_rms(branch, eps, cols));
    const V factor = S::set(scale);
    for_lanes<S>(
        cols,
        [&](int64_t i) {
          V y = S::mul(S::load(branch + i), inverse);
          if (post != nullptr) y = S::mul(y, S::load(post + i));
          S::store(x + i, S::mul(S::add(S::load(x + i), y), factor));
        },
        [&](int64_t i, int64_t n) {
          V y = S::mul(S::load_part(branch + i, n), inverse);
          if (post != nullptr) y = S::mul(y, S::load_part(post + i, n));
          S::store_part(x + i, S::mul(S::add(S::load_part(x + i, n), y), factor), n);
        });
    if (normed != nullptr) rms_norm(x, next, eps, cols, normed);
  }

  static void rotate(float* x, const float* cosine, const float* sine, int64_t half) {
    float* y = x + half;
    for_lanes<S>(
        half,
        [&](int64_t i) {
          const V a = S::load(x + i), b = S::load(y + i);
          const V c = S::load(cosine + i), s = S::load(sine + i);
          S::store(x + i, S::fnma(b, s, S::mul(a, c)));
          S::store(y + i, S::fma(a, s, S::mul(b, c)));
        },
        [&](int64_t i, int64_t n) {
          const V a = S::load_part(x + i, n), b = S::load_part(y + i, n);
          const V c = S::load_part(cosine + i, n), s = S::load_part(sine + i, n);
          S::store_part(x + i, S::fnma(b, s, S::mul(a, c)), n);
          S::store_part(y + i, S::fma(a, s, S::mul(b, c)), n);
        });
  }

  static void gelu_multiply(const float* gate, const float* up, int64_t count, float* out) {
    for_lanes<S>(
        count,
        [&](int64_t i) { S::store(out + i, S::mul(gelu<S>(S::load(gate + i)), S::load(up + i))); },
        [&](int64_t i, int64_t n) {
          const V g = gelu<S>(S::load_part(gate + i, n));
          S::store_part(out + i, S::mul(g, S::load_part(up + i, n)), n);
        });
  }

  static void softcap(float* x, int64_t count, float cap) {
    const V factor = S::set(cap);
    for_lanes<S>(
        count,
        [&](int64_t i) {
          S::store(x + i, S::mul(factor, tanh<S>(S::div(S::load(x + i), factor))));
        },
        [&](int64_t i, int64_t n) {
          const V y = tanh<S>(S::div(S::load_part(x + i, n), factor));
          S::store_part(x + i, S::mul(factor, y), n);
        });
  }

  template <class T>
  static void widen_as(const void* in, int64_t count, float scale, float* out) {
    const auto* from = static_cast<const typename T::Storage*>(in);
    const V factor = S::set(scale);
    for_lanes<S>(
        count, [&](int64_t i) { S::store(out + i, S::mul(load_as<S, T>(from + i), factor)); },
        [&](int64_t i, int64_t n) {
          S::store_part(out + i, S::mul(load_part_as<S, T>(from + i, n), factor), n);
        });
  }

  static void widen(const void* in, Element type, int64_t count, float scale, float* out) {
    if (type == Element::kF32) widen_as<AsF32>(in, count, scale, out);
    if (type == Element::kBf16) widen_as<AsBf16>(in, count, scale, out);
    if (type == Element::kF16) widen_as<AsF16>(in, count, scale, out);
  }

  static void narrow_to_bf16(const float* in, int64_t count, uint16_t* out) {
    for (int64_t i = 0; i < count; i += S::kLanes) {
      const int64_t n = count - i;
      if (n >= S::kLanes) {
        S::store_bf16(out + i, S::load(in + i));
      } else {
        S::store_bf16_part(out + i, S::load_part(in + i, n), n);
      }
    }
  }

  static float narrow_to_kv_int8(const float* in, int64_t count, int8_t* out) {
    V largest = S::zero();
    for_lanes<S>(
        count, [&](int64_t i) { largest = S::max(S::abs(S::load(in + i)), largest); },
        [&](int64_t i, int64_t n) { largest = S::max(S::abs(S::load_part(in + i, n)), largest); });
    const float quotient = S::largest(largest) / 127.0f;
    const float scale = quotient > 1e-6f ? quotient : 1e-6f;
    const V inverse = S::set(1.0f / scale);
    // Half away from zero. The product is rounded before the half is added; NaN becomes 127.
    const auto code = [&](V x) {
      const V v = S::in_register(S::mul(x, inverse));
      const V rounded = S::truncate(S::add(v, S::copy_sign(S::set(0.5f), v)));
      return S::max(S::min(rounded, S::set(127.0f)), S::set(-128.0f));
    };
    for_lanes<S>(
        count, [&](int64_t i) { S::store_int8(out + i, code(S::load(in + i))); },
        [&](int64_t i, int64_t n) {
          S::store_int8_part(out + i, code(S::load_part(in + i, n)), n);
        });
    return scale;
  }

  static void narrow_to_kv_fp8(const float* in, float scale, int64_t count, uint8_t* out) {
    const V divisor = S::set(scale);
    for_lanes<S>(
        count, [&](int64_t i) { S::store_fp8(out + i, S::div(S::load(in + i), divisor)); },
        [&](int64_t i, int64_t n) {
          S::store_fp8_part(out + i, S::div(S::load_part(in + i, n), divisor), n);
        });
  }

  static void axpy(float a, const float* x, int64_t count, float* y) {
    const V factor = S::set(a);
    for_lanes<S>(
        count, [&](int64_t i) { S::store(y + i, S::fma(factor, S::load(x + i), S::load(y + i))); },
        [&](int64_t i, int64_t n) {
          const V old = S::load_part(y + i, n);
          S::store_part(y + i, S::fma(factor, S::load_part(x + i, n), old), n);
        });
  }

  static void add_scale(const float* x, float scale, int64_t count, float* y) {
    const V factor = S::set(scale);
    for_lanes<S>(
        count,
        [&](int64_t i) { S::store(y + i, S::mul(S::add(S::load(y + i), S::load(x + i)), factor)); },
        [&](int64_t i, int64_t n) {
          const V sum = S::add(S::load_part(y + i, n), S::load_part(x + i, n));
          S::store_part(y + i, S::mul(sum, factor), n);
        });
  }

  static float largest(const float* x, int64_t count) {
    V best = S::set(-__builtin_inff());
    int64_t i = 0;
    for (; i + S::kLanes <= count; i += S::kLanes) best = S::max(S::load(x + i), best);
    float result = S::largest(best);
    for (; i < count; ++i) result = x[i] > result ? x[i] : result;
    return result;
  }

  static double exp_sum(const float* x, float shift, float scale, int64_t count, float* out) {
    const V offset = S::set(shift);
    const V factor = S::set(scale);
    double total = 0.0;
    constexpr int64_t kRun = 4096;  // summed in float, then added up in double
    for (int64_t begin = 0; begin < count; begin += kRun) {
      const int64_t end = begin + kRun < count ? begin + kRun : count;
      V run = S::zero();
      int64_t i = begin;
      for (; i + S::kLanes <= end; i += S::kLanes) {
        const V e = exp<S>(S::mul(S::sub(S::load(x + i), offset), factor));
        S::store(out + i, e);
        run = S::add(run, e);
      }
      total += S::sum(run);
      if (i < end) {
        const V e = exp<S>(S::mul(S::sub(S::load_part(x + i, end - i), offset), factor));
        S::store_part(out + i, e, end - i);
        for (; i < end; ++i) total += out[i];
      }
    }
    return total;
  }

  static RowKernels table() {
    return {rms_norm,       close_block,       rotate,           gelu_multiply, softcap,   widen,
            narrow_to_bf16, narrow_to_kv_int8, narrow_to_kv_fp8, axpy,          add_scale, largest,
            exp_sum};
  }
};

}  // namespace gemma4::cpu
