// Which backends this binary has, and how to get one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

struct BackendOptions {
  /// No rounding of activations for speed: products in float32 throughout (ruling 1).
  bool exact_activations = false;
};

/// `device`: "auto", "cpu", "reference". Throws Error(kResource) for a device that is not there,
/// Error(kUsage) for a name that is none.
std::unique_ptr<Ops> make_backend(const std::string& device, const BackendOptions& options);

/// "cpu", "reference".
std::vector<std::string> built_backends();

}  // namespace gemma4
