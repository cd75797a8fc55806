// Activations and small constants in a backend's memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "lib/base/tensor.h"

namespace gemma4 {

/// A view of activations in the backend's memory, row-major and dense.
struct Matrix {
  void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  int64_t rows = 0;
  int64_t cols = 0;

  /// The first `count` rows.
  Matrix first(int64_t count) const { return {data, dtype, count, cols}; }
  float* f32() const { return static_cast<float*>(data); }
  float* row(int64_t index) const { return f32() + index * cols; }
};

/// Memory of a backend, freed with it.
class Buffer {
 public:
  virtual ~Buffer() = default;
  virtual void* data() = 0;
  virtual size_t size() const = 0;
};

/// Small constants (norm weights, scales) in the backend's memory, always float32.
struct Vector {
  std::shared_ptr<Buffer> buffer;
  const float* data = nullptr;
  int64_t size = 0;

  bool empty() const { return size == 0; }
};

}  // namespace gemma4
