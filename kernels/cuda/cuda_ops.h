// The CUDA backend.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

struct CudaOptions {
  int device = 0;
  /// Products in float32 throughout, never TF32; otherwise activations are rounded to bfloat16
  /// where they meet weights, and sums are float32 (ruling 1).
  bool exact_activations = false;
};

/// Throws Error(kResource) when there is no such device or no driver.
std::unique_ptr<Ops> make_cuda_ops(const CudaOptions& options);

struct CudaDevice {
  int index = 0;
  std::string name;
  int capability = 0;  // 90: compute capability 9.0
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;
};
/// The devices that the backend can use; empty without a driver.
std::vector<CudaDevice> cuda_devices();

}  // namespace gemma4
