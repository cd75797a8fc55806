// One CUDA device: errors, memory, the stream that all work is ordered on.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/matrix.h"

namespace gemma4::cuda {

/// Throws for a CUDA call that failed: Error(kResource) when memory ran out, Error(kInternal)
/// otherwise, naming `what`.
void check(cudaError_t status, std::string_view what);

/// Makes a device the calling thread's, and says what it can do.
class Device {
 public:
  /// Throws Error(kResource) when there is no such device, no driver, or the device is older than
  /// compute capability 8.0.
  explicit Device(int index);

  int index() const { return index_; }
  int multiprocessors() const { return multiprocessors_; }
  /// 90 for compute capability 9.0.
  int capability() const { return capability_; }
  /// Largest dynamic shared memory of a block, bytes.
  size_t max_shared_bytes() const { return max_shared_bytes_; }

 private:
  int index_;
  int multiprocessors_ = 0;
  int capability_ = 0;
  size_t max_shared_bytes_ = 0;
};

/// Memory on the current device, 256-byte aligned. Freeing waits for work that may use it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Throws Error(kResource) with the free memory when there is not enough.
  explicit DeviceMemory(size_t bytes);
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void reset() noexcept;
  void* data() const { return data_; }
  size_t size() const { return bytes_; }
  template <typename T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

/// Page-locked host memory: copies from and to it run beside the host.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  explicit PinnedMemory(size_t bytes);
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept { *this = std::move(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;

  std::byte* data() const { return data_; }
  size_t size() const { return bytes_; }

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

class Stream {
 public:
  Stream();
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }
  /// Waits for all work, and throws what went wrong in it.
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// A point in a stream that the host can wait for.
class Event {
 public:
  Event();
  ~Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  void record(const Stream& stream);
  /// Returns at once when nothing was recorded.
  void wait() const;

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace gemma4::cuda
