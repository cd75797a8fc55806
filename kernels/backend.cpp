#include "kernels/backend.h"

#include "kernels/cpu/cpu_ops.h"
#include "kernels/reference/reference_ops.h"
#include "lib/base/error.h"

namespace gemma4 {

std::vector<std::string> built_backends() { return {"cpu", "reference"}; }

std::unique_ptr<Ops> make_backend(const std::string& device, const BackendOptions& options) {
  if (device == "reference") return make_reference_ops();
  if (device == "auto" || device == "cpu") {
    return make_cpu_ops({.exact_activations = options.exact_activations});
  }
  throw Error(ErrorKind::kUsage, "unknown device", device, "use auto, cpu or reference");
}

}  // namespace gemma4
