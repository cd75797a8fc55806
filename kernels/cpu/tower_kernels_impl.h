// The towers' kernels over a SIMD type S. See TowerKernels for what they do.
#pragma once

#include "kernels/cpu/simd_loops.h"
#include "kernels/cpu/tower_kernels.h"

namespace gemma4::cpu {

template <class S>
struct TowerRows {
  using V = typename S::V;

  static V sigmoid(V x) {
    const V one = S::set(1.0f);
    return S::div(one, S::add(one, exp<S>(S::sub(S::zero(), x))));
  }

  /// out[i] = fn(i-th register of a), for all of `count`.
  template <class Fn>
  static void map(const float* a, int64_t count, float* out, const Fn& fn) {
    for_lanes<S>(
        count, [&](int64_t i) { S::store(out + i, fn(S::load(a + i))); },
        [&](int64_t i, int64_t n) { S::store_part(out + i, fn(S::load_part(a + i, n)), n); });
  }

  static void clamp(const float* x, float low, float high, int64_t count, float* out) {
    const V bottom = S::set(low);
    const V top = S::set(high);
    map(x, count, out, [&](V v) { return S::min(S::max(v, bottom), top); });
  }

  static void silu(const float* x, int64_t count, float* out) {
    map(x, count, out, [](V v) { return S::mul(v, sigmoid(v)); });
  }

  static void glu(const float* value, const float* gate, int64_t count, float* out) {
    for_lanes<S>(
        count,
        [&](int64_t i) {
          S::store(out + i, S::mul(S::load(value + i), sigmoid(S::load(gate + i))));
        },
        [&](int64_t i, int64_t n) {
          const V g = sigmoid(S::load_part(gate + i, n));
          S::store_part(out + i, S::mul(S::load_part(value + i, n), g), n);
        });
  }

  static float sum_of(const float* x, int64_t cols) {
    V total = S::zero();
    for_lanes<S>(
        cols, [&](int64_t i) { total = S::add(total, S::load(x + i)); },
        [&](int64_t i, int64_t n) { total = S::add(total, S::load_part(x + i, n)); });
    return S::sum(total);
  }

  static float squared_distance(const float* x, float mean, int64_t cols) {
    const V centre = S::set(mean);
    V total = S::zero();
    int64_t i = 0;
    for (; i + S::kLanes <= cols; i += S::kLanes) {
      const V d = S::sub(S::load(x + i), centre);
      total = S::fma(d, d, total);
    }
    float sum = S::sum(total);
    for (; i < cols; ++i) sum += (x[i] - mean) * (x[i] - mean);
    return sum;
  }

  static void layer_norm(const float* x, const float* weight, const float* bias, float eps,
                         float floor, int64_t cols, float* out) {
    const float mean = sum_of(x, cols) / static_cast<float>(cols);
    const float variance = squared_distance(x, mean, cols) / static_cast<float>(cols);
    const V centre = S::set(mean);
    const V scale = S::set(1.0f / __builtin_sqrtf(variance + eps));
    const V least = S::set(floor);
    for_lanes<S>(
        cols,
        [&](int64_t i) {
          const V y = S::mul(S::mul(S::sub(S::load(x + i), centre), scale), S::load(weight + i));
          S::store(out + i, S::max(least, bias == nullptr ? y : S::add(y, S::load(bias + i))));
        },
        [&](int64_t i, int64_t n) {
          const V y = S::mul(S::mul(S::sub(S::load_part(x + i, n), centre), scale),
                             S::load_part(weight + i, n));
          const V shifted = bias == nullptr ? y : S::add(y, S::load_part(bias + i, n));
          S::store_part(out + i, S::max(least, shifted), n);
        });
  }

  static void multiply_add(const float* a, const float* b, int64_t count, float* y) {
    for_lanes<S>(
        count,
        [&](int64_t i) { S::store(y + i, S::fma(S::load(a + i), S::load(b + i), S::load(y + i))); },
        [&](int64_t i, int64_t n) {
          const V old = S::load_part(y + i, n);
          S::store_part(y + i, S::fma(S::load_part(a + i, n), S::load_part(b + i, n), old), n);
        });
  }

  static TowerKernels table() { return {clamp, silu, glu, layer_norm, multiply_add}; }
};

}  // namespace gemma4::cpu
