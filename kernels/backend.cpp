#include "kernels/backend.h"

#include <charconv>
#include <string_view>

#include "kernels/cpu/cpu_ops.h"
#include "kernels/reference/reference_ops.h"
#include "lib/base/error.h"
#ifdef GEMMA4_HAS_CUDA
#include "kernels/cuda/cuda_ops.h"
#endif

namespace gemma4 {
namespace {

constexpr std::string_view kCuda = "cuda";

Error unknown(const std::string& device) {
  return Error(ErrorKind::kUsage, "unknown device", device,
               "use auto, cpu, cuda, cuda:N or reference");
}

std::unique_ptr<Ops> make_cuda(const std::string& device,
                               [[maybe_unused]] const BackendOptions& options) {
  int index = 0;
  if (device.size() > kCuda.size()) {
    const char* end = device.data() + device.size();
    const char* digits = device.data() + kCuda.size() + 1;
    const auto [last, status] = std::from_chars(digits, end, index);
    if (device[kCuda.size()] != ':' || status != std::errc() || last != end || index < 0) {
      throw unknown(device);
    }
  }
#ifdef GEMMA4_HAS_CUDA
  return make_cuda_ops({.device = index, .exact_activations = options.exact_activations});
#else
  throw Error(ErrorKind::kResource, "this gemma4 was built without CUDA", "--device " + device,
              "use --device cpu, or build where nvcc is installed");
#endif
}

}  // namespace

std::vector<GpuDevice> gpu_devices() {
  std::vector<GpuDevice> devices;
#ifdef GEMMA4_HAS_CUDA
  for (const CudaDevice& d : cuda_devices()) {
    devices.push_back(
        {std::string(kCuda) + ":" + std::to_string(d.index), d.name, d.free_bytes, d.total_bytes});
  }
#endif
  return devices;
}

bool has_gpu_backend() {
#ifdef GEMMA4_HAS_CUDA
  return true;
#else
  return false;
#endif
}

std::vector<std::string> built_backends() {
  std::vector<std::string> names = {"cpu", "reference"};
  if (!gpu_devices().empty()) names.emplace_back(kCuda);
  return names;
}

std::unique_ptr<Ops> make_backend(const std::string& device, const BackendOptions& options) {
  if (device == "reference") return make_reference_ops();
  if (device == "auto" || device == "cpu") {
    return make_cpu_ops({.exact_activations = options.exact_activations});
  }
  if (device.starts_with(kCuda)) return make_cuda(device, options);
  throw unknown(device);
}

}  // namespace gemma4
