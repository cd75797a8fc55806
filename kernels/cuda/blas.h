// Matrix products of many rows by cuBLASLt.
//
// The library is half a gigabyte and not on every machine, so it is opened while the program runs:
// without it our own kernels take all products.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>

#include "kernels/cuda/device.h"

namespace gemma4::cuda {

/// out[m, n] = x[m, k] w[n, k]^T, rows at the strides given (elements).
struct BlasProduct {
  const void* x = nullptr;
  const void* w = nullptr;
  float* out = nullptr;
  int64_t m = 0;
  int64_t n = 0;
  int64_t k = 0;
  int64_t x_stride = 0;
  int64_t w_stride = 0;
  int64_t out_stride = 0;
  bool narrow = true;  // x and w are bfloat16, else float32 (never rounded to TF32)
};

class Blas {
 public:
  /// Null when the library is not there.
  static std::unique_ptr<Blas> open();
  ~Blas();
  Blas(const Blas&) = delete;
  Blas& operator=(const Blas&) = delete;

  /// False when the library has no way to compute it.
  bool run(const BlasProduct& product, const Stream& stream);

 private:
  struct Functions;
  struct Plan;
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, bool>;

  Blas();
  const Plan* plan_of(const BlasProduct& product);

  std::unique_ptr<Functions> functions_;
  cublasLtHandle_t handle_ = nullptr;
  DeviceMemory workspace_;
  std::map<Key, std::unique_ptr<Plan>> plans_;
};

}  // namespace gemma4::cuda
