#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/backend.h"
#include "lib/base/cpu_features.h"
#include "lib/base/parallel.h"
#include "lib/runtime/engine.h"

namespace gemma4 {

std::string version_text() {
  const CpuFeatures& cpu = cpu_features();
  std::string gpus;
  for (const GpuDevice& gpu : gpu_devices()) {
    gpus += fmt::format("{}: {}, {:.1f} of {:.1f} GiB free\n", gpu.name, gpu.description,
                        static_cast<double>(gpu.free_bytes) / (1 << 30),
                        static_cast<double>(gpu.total_bytes) / (1 << 30));
  }
  if (gpus.empty()) gpus = has_gpu_backend() ? "cuda: no device\n" : "cuda: not built in\n";
  return fmt::format("gemma4 {}\nbackends: {}\ncpu: {} ({} cores)\ncpu features: {}\n{}",
                     GEMMA4_VERSION, fmt::join(built_backends(), ", "), cpu.brand, physical_cores(),
                     cpu.text(), gpus);
}

}  // namespace gemma4
