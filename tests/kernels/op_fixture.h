// What the tests of kernels share: the backends that this machine can run, random data, matrices
// in a backend's memory, and comparison with the reference backend.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cpu/cpu_ops.h"
#ifdef GEMMA4_HAS_CUDA
#include "kernels/cuda/cuda_ops.h"
#endif
#include "kernels/ops.h"
#include "kernels/reference/reference_ops.h"
#include "lib/base/cpu_features.h"
#include "lib/base/parallel.h"
#include "lib/base/scalar_types.h"

namespace gemma4 {

/// Runs `test` on each backend under test, and says which one failed. The GPU takes part where one
/// is; in the program that emulates one, it alone.
inline void on_each_backend(const std::function<void(Ops&)>& test, bool exact = true) {
#ifdef GEMMA4_HAS_CUDA
  if (cuda_devices().empty()) {
    static const bool said = [] {
      MESSAGE("skipped: no CUDA device");
      return true;
    }();
    static_cast<void>(said);
  } else {
    CAPTURE("cuda");
    const std::unique_ptr<Ops> ops = make_cuda_ops({.device = 0, .exact_activations = exact});
    test(*ops);
  }
#endif
#ifndef GEMMA4_CUDA_EMULATED
  set_num_threads(2);
  const auto run = [&](const std::string& name, CpuLevel level) {
    CAPTURE(name);
    const std::unique_ptr<Ops> ops = make_cpu_ops({.exact_activations = exact, .at_most = level});
    test(*ops);
  };
  if (cpu_features().avx2) run("cpu avx2", CpuLevel::kAvx2);
  if (cpu_features().avx512) run("cpu avx512", CpuLevel::kAvx512);
  if (cpu_features().avx512_vnni) run("cpu avx512 vnni", CpuLevel::kAvx512Vnni);
#endif
}

/// Whether products round activations to bfloat16 unless they are exact.
inline bool rounds_to_bf16(const Ops& ops) { return ops.name().starts_with("cuda"); }

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float normal() { return distribution_(engine_); }
  int32_t below(int32_t limit) {
    return static_cast<int32_t>(engine_() % static_cast<unsigned>(limit));
  }
  std::vector<float> normals(int64_t count, float scale = 1.0f) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = normal() * scale;
    return values;
  }

 private:
  std::mt19937 engine_;
  std::normal_distribution<float> distribution_{0.0f, 1.0f};
};

/// A matrix in the memory of a backend.
class DeviceMatrix {
 public:
  DeviceMatrix(Ops& ops, int64_t rows, int64_t cols, const std::vector<float>& values = {})
      : ops_(ops), buffer_(ops.allocate(static_cast<size_t>(rows * cols) * sizeof(float))) {
    view = {buffer_->data(), Dtype::kF32, rows, cols};
    // What an operation does not write must not look right.
    std::vector<float> fill(static_cast<size_t>(rows * cols), std::nanf(""));
    if (!values.empty()) {
      REQUIRE(values.size() == fill.size());
      fill = values;
    }
    ops_.copy_from_host(view.data, fill.data(), fill.size() * sizeof(float));
  }
  std::vector<float> host() const {
    std::vector<float> values(static_cast<size_t>(view.rows * view.cols));
    ops_.copy_to_host(values.data(), view.data, values.size() * sizeof(float));
    return values;
  }

  Matrix view;

 private:
  Ops& ops_;
  std::unique_ptr<Buffer> buffer_;
};

/// A random weight in a dtype, at an address that is only as aligned as its elements are.
class TestWeight {
 public:
  TestWeight(Random& random, int64_t rows, int64_t cols, Dtype dtype, float scale = 1.0f) {
    const size_t size = dtype == Dtype::kF32 ? 4 : 2;
    bytes_.resize((static_cast<size_t>(rows * cols) + 1) * size);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const float value = random.normal() * scale;
      std::byte* to = bytes_.data() + static_cast<size_t>(i + 1) * size;
      if (dtype == Dtype::kF32) std::memcpy(to, &value, 4);
      const uint16_t half = dtype == Dtype::kBf16 ? to_bf16(value).bits : to_f16(value).bits;
      if (dtype != Dtype::kF32) std::memcpy(to, &half, 2);
    }
    weight.name = "test";
    weight.rows = rows;
    weight.cols = cols;
    weight.dense = {bytes_.data() + size, dtype, {rows, cols}};
  }
  TestWeight(const TestWeight&) = delete;
  TestWeight& operator=(const TestWeight&) = delete;

  Weight weight;

 private:
  std::vector<std::byte> bytes_;
};

/// The experts of some rows, in the backend's memory.
class DeviceRouting {
 public:
  DeviceRouting(Ops& ops, int64_t rows, int32_t top_k)
      : ops_(ops),
        experts_(ops.allocate(static_cast<size_t>(rows * top_k) * sizeof(int32_t))),
        weights_(ops.allocate(static_cast<size_t>(rows * top_k) * sizeof(float))) {
    view = {static_cast<int32_t*>(experts_->data()), static_cast<float*>(weights_->data()), rows,
            top_k};
  }
  std::vector<int32_t> experts() const { return host<int32_t>(view.experts); }
  std::vector<float> weights() const { return host<float>(view.weights); }

  Routing view;

 private:
  template <typename T>
  std::vector<T> host(const T* device) const {
    std::vector<T> values(static_cast<size_t>(view.rows * view.top_k));
    ops_.copy_to_host(values.data(), device, values.size() * sizeof(T));
    return values;
  }
  Ops& ops_;
  std::unique_ptr<Buffer> experts_;
  std::unique_ptr<Buffer> weights_;
};

/// Vectors in the backend's memory.
inline Vector upload(Ops& ops, const std::vector<float>& values) {
  return ops.upload({values.data(), Dtype::kF32, {static_cast<int64_t>(values.size())}});
}

/// Largest difference relative to the rms of what is expected (NaN counts as infinite).
inline double relative_error(const std::vector<float>& got, const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  double squares = 0.0;
  double largest = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    const double difference = std::abs(static_cast<double>(got[i]) - expected[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  return largest /
         std::sqrt(squares / static_cast<double>(std::max<size_t>(got.size(), 1)) + 1e-30);
}

/// What `compute` leaves in a matrix on this backend must be what it leaves on the reference.
inline void check_against_reference(Ops& ops,
                                    const std::function<std::vector<float>(Ops&)>& compute,
                                    double tolerance = 3e-6) {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  CHECK(relative_error(compute(ops), compute(*reference)) < tolerance);
}

}  // namespace gemma4
