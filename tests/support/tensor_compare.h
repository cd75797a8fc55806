// Comparing what we compute with golden tensors.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "lib/io/safetensors.h"

namespace gemma4 {

/// A golden tensor widened to float, and its integer twin.
inline std::vector<float> floats_of(const SafetensorsFile& file, const std::string& name) {
  const std::optional<Tensor> tensor = file.find(name);
  REQUIRE_MESSAGE(tensor.has_value(), name);
  REQUIRE(tensor->dtype == Dtype::kF32);
  std::vector<float> values(static_cast<size_t>(tensor->elements()));
  std::memcpy(values.data(), tensor->data, values.size() * sizeof(float));
  return values;
}

inline std::vector<int32_t> ids_of(const SafetensorsFile& file, const std::string& name) {
  const std::optional<Tensor> tensor = file.find(name);
  REQUIRE_MESSAGE(tensor.has_value(), name);
  REQUIRE(tensor->dtype == Dtype::kI64);
  std::vector<int64_t> wide(static_cast<size_t>(tensor->elements()));
  std::memcpy(wide.data(), tensor->data, wide.size() * sizeof(int64_t));
  return {wide.begin(), wide.end()};
}

struct Difference {
  double max = 0.0;
  double rms = 0.0;
};

inline Difference difference(const float* a, const float* b, size_t count) {
  Difference d;
  for (size_t i = 0; i < count; ++i) {
    const double delta = std::abs(static_cast<double>(a[i]) - b[i]);
    d.max = std::isnan(delta) ? INFINITY : std::max(d.max, delta);
    d.rms += delta * delta;
  }
  d.rms = std::sqrt(d.rms / static_cast<double>(std::max<size_t>(count, 1)));
  return d;
}

inline double abs_max(const std::vector<float>& values) {
  double largest = 0.0;
  for (const float value : values)
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

}  // namespace gemma4
