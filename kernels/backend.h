// Which backends this binary has, and how to get one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

struct BackendOptions {
  /// No rounding of activations for speed: products in float32 throughout (ruling 1).
  bool exact_activations = false;
};

/// `device`: "cpu", "cuda", "cuda:N", "reference"; "auto" is the CPU (lib/runtime/device_choice.h
/// finds the GPU that a model fits). Throws Error(kResource) for a device that is not there,
/// Error(kUsage) for a name that is none.
std::unique_ptr<Ops> make_backend(const std::string& device, const BackendOptions& options);

/// Those that work on this machine: "cpu", "reference", and "cuda" where there is a device.
std::vector<std::string> built_backends();

struct GpuDevice {
  std::string name;         // "cuda:0", as make_backend takes it
  std::string description;  // "NVIDIA H200"
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;
};
/// The GPUs of this machine that a backend of this binary can use.
std::vector<GpuDevice> gpu_devices();
/// Whether this binary has a GPU backend at all.
bool has_gpu_backend();

}  // namespace gemma4
