#include "kernels/cuda/device.h"

#include <string>
#include <utility>

#include "lib/base/error.h"

namespace gemma4::cuda {

void check(cudaError_t status, std::string_view what) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // an error that is not sticky must not be found again by the next call
  const bool memory = status == cudaErrorMemoryAllocation;
  throw Error(memory ? ErrorKind::kResource : ErrorKind::kInternal,
              memory ? "not enough memory on the GPU" : "the GPU failed", what,
              std::string(cudaGetErrorName(status)) + ", " + cudaGetErrorString(status));
}

Device::Device(int index) : index_(index) {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess || count == 0) {
    cudaGetLastError();
    throw Error(ErrorKind::kResource, "no CUDA device", "--device cuda",
                "an NVIDIA GPU and its driver are needed; use --device cpu");
  }
  if (index < 0 || index >= count) {
    throw Error(ErrorKind::kResource, "no such CUDA device", "cuda:" + std::to_string(index),
                std::to_string(count) + " found; gemma4 --version lists them");
  }
  check(cudaSetDevice(index), "choosing the device");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "device properties");
  capability_ = properties.major * 10 + properties.minor;
  if (capability_ < 80) {
    throw Error(ErrorKind::kResource, "the GPU is too old", properties.name,
                "compute capability 8.0 or later is needed");
  }
  multiprocessors_ = properties.multiProcessorCount;
  max_shared_bytes_ = properties.sharedMemPerBlockOptin;
}

DeviceMemory::DeviceMemory(size_t bytes) : bytes_(bytes > 0 ? bytes : 1) {
  const cudaError_t status = cudaMalloc(&data_, bytes_);
  if (status == cudaSuccess) return;
  data_ = nullptr;
  cudaGetLastError();
  if (status != cudaErrorMemoryAllocation) check(status, "allocating device memory");
  size_t free_bytes = 0;
  size_t total = 0;
  cudaMemGetInfo(&free_bytes, &total);
  throw Error(ErrorKind::kResource, "not enough memory on the GPU",
              std::to_string(bytes_ >> 20) + " MiB wanted, " + std::to_string(free_bytes >> 20) +
                  " MiB free",
              "use --weights int8 or int4, --kv-cache-dtype bf16 or a shorter --context");
}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

void DeviceMemory::reset() noexcept {
  if (data_ != nullptr) cudaFree(data_);
  data_ = nullptr;
  bytes_ = 0;
}

PinnedMemory::PinnedMemory(size_t bytes) : bytes_(bytes) {
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), "allocating page-locked memory");
  data_ = static_cast<std::byte*>(data);
}

PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Stream::Stream() {
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
}

Stream::~Stream() {
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

void Stream::synchronize() const { check(cudaStreamSynchronize(stream_), "waiting for the GPU"); }

Event::Event() {
  check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event");
}

Event::~Event() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

void Event::record(const Stream& stream) {
  check(cudaEventRecord(event_, stream.get()), "recording an event");
}

void Event::wait() const { check(cudaEventSynchronize(event_), "waiting for an event"); }

}  // namespace gemma4::cuda
