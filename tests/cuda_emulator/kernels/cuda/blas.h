// In place of kernels/cuda/blas.h: a machine without cuBLASLt.
#pragma once

#include <cstdint>
#include <memory>

#include "kernels/cuda/device.h"

namespace gemma4::cuda {

struct BlasProduct {
  const void* x = nullptr;
  const void* w = nullptr;
  float* out = nullptr;
  int64_t m = 0, n = 0, k = 0;
  int64_t x_stride = 0, w_stride = 0, out_stride = 0;
  bool narrow = true;
};

class Blas {
 public:
  static std::unique_ptr<Blas> open() { return nullptr; }
  bool run(const BlasProduct&, const Stream&) { return false; }
};

}  // namespace gemma4::cuda
