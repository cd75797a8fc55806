// Memory of one purpose that grows to the most that was asked for and is used again.
#pragma once

#include "kernels/cuda/launch_queue.h"

namespace gemma4::cuda {

class Scratch {
 public:
  explicit Scratch(LaunchQueue& queue) : queue_(queue) {}

  /// What was there is lost when it has to grow.
  void* bytes(size_t count) {
    if (count > memory_.size()) {
      queue_.synchronize();  // kernels may still use the old one
      memory_.reset();
      memory_ = DeviceMemory(count + count / 4);
    }
    return memory_.data();
  }
  float* floats(int64_t count) {
    return static_cast<float*>(bytes(static_cast<size_t>(count) * sizeof(float)));
  }
  template <typename T>
  T* items(int64_t count) {
    return static_cast<T*>(bytes(static_cast<size_t>(count) * sizeof(T)));
  }

 private:
  LaunchQueue& queue_;
  DeviceMemory memory_;
};

}  // namespace gemma4::cuda
