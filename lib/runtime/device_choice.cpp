#include "lib/runtime/device_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <vector>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/runtime/model_work.h"

namespace gemma4 {
namespace {

// What kernels and cuBLASLt work in, beside the decoder's activations.
constexpr uint64_t kGpuWorkBytes = uint64_t{768} << 20;

std::string gib(uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

bool fits(const EngineOptions& options, uint64_t available) {
  return gpu_memory_plan(options).total() <= available;
}

const GpuDevice* find_gpu(const std::vector<GpuDevice>& gpus, const std::string& device) {
  const auto roomier = [](const GpuDevice& a, const GpuDevice& b) {
    return a.free_bytes < b.free_bytes;
  };
  if (device == "auto" || device == "cuda") {
    const auto most = std::max_element(gpus.begin(), gpus.end(), roomier);
    return most == gpus.end() ? nullptr : &*most;
  }
  const auto named = std::find_if(gpus.begin(), gpus.end(),
                                  [&](const GpuDevice& gpu) { return gpu.name == device; });
  return named == gpus.end() ? nullptr : &*named;
}

std::string shortage(const MemoryPlan& plan, const GpuDevice& gpu) {
  return fmt::format("{} ({}): {} needed (weights {}, KV {}, scratch {}, media {}), {} free",
                     gpu.name, gpu.description, gib(plan.total()), gib(plan.weights),
                     gib(plan.kv_full + plan.kv_ring), gib(plan.scratch), gib(plan.media),
                     gib(gpu.free_bytes));
}

}  // namespace

MemoryPlan gpu_memory_plan(const EngineOptions& options) {
  const int64_t limit = read_model_shape(options).text.max_position_embeddings;
  MemoryPlan plan = memory_on(options, "cuda", options.context > 0 ? options.context : limit);
  plan.scratch += kGpuWorkBytes;
  return plan;
}

std::string flags_that_fit(const EngineOptions& options, uint64_t available) {
  std::vector<std::string> flags;
  const auto consider = [&](const EngineOptions& changed, const std::string& flag) {
    if (fits(changed, available)) flags.push_back(flag);
  };
  for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
    EngineOptions changed = options;
    changed.weights.linears = format;
    if (format == options.weights.linears) continue;
    consider(changed, "--weights " + std::string(weight_format_name(format)));
  }
  if (options.kv_cache_dtype == Dtype::kBf16 || options.kv_cache_dtype == Dtype::kF32) {
    EngineOptions changed = options;
    changed.kv_cache_dtype = Dtype::kI8;
    consider(changed, "--kv-cache-dtype int8");
  }
  const int64_t limit = read_model_shape(options).text.max_position_embeddings;
  const int64_t now = options.context > 0 ? std::min(options.context, limit) : limit;
  for (int64_t context = now / 2; context >= 1024; context /= 2) {
    EngineOptions changed = options;
    changed.context = context;
    if (!fits(changed, available)) continue;
    flags.push_back("--context " + std::to_string(context));
    break;
  }
  return fmt::format("{}", fmt::join(flags, ", "));
}

std::string choose_device(const EngineOptions& options) {
  const bool automatic = options.device == "auto";
  if (!automatic && !options.device.starts_with("cuda")) return options.device;
  const std::vector<GpuDevice> gpus = gpu_devices();
  const GpuDevice* gpu = find_gpu(gpus, options.device);
  if (gpu == nullptr) {
    if (automatic) return "cpu";
    make_backend(options.device, {});  // says what is missing
    return options.device;
  }
  const MemoryPlan plan = gpu_memory_plan(options);
  if (plan.total() <= gpu->free_bytes) return gpu->name;
  const std::string flags = flags_that_fit(options, gpu->free_bytes);
  const std::string hint =
      flags.empty() ? "no flag would make it fit: use --device cpu" : "would fit with: " + flags;
  if (automatic) {
    log_warning("the model does not fit the GPU, the CPU is used: " + shortage(plan, *gpu) + "; " +
                hint);
    return "cpu";
  }
  throw Error(ErrorKind::kResource, "the model does not fit the GPU", shortage(plan, *gpu), hint);
}

int64_t prompt_chunk(const EngineOptions& options, std::string_view device) {
  constexpr int64_t kGpuChunk = 2048;
  return device.starts_with("cuda") ? std::max(options.max_chunk, kGpuChunk) : options.max_chunk;
}

uint64_t free_gpu_memory(const std::string& device) {
  const std::vector<GpuDevice> gpus = gpu_devices();
  const GpuDevice* gpu = find_gpu(gpus, device);
  return gpu == nullptr ? 0 : gpu->free_bytes;
}

}  // namespace gemma4
