#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/backend.h"
#include "lib/base/cpu_features.h"
#include "lib/base/parallel.h"
#include "lib/runtime/engine.h"

namespace gemma4 {

std::string version_text() {
  const CpuFeatures& cpu = cpu_features();
  return fmt::format("gemma4 {}\nbackends: {}\ncpu: {} ({} cores)\ncpu features: {}\n",
                     GEMMA4_VERSION, fmt::join(built_backends(), ", "), cpu.brand, physical_cores(),
                     cpu.text());
}

}  // namespace gemma4
