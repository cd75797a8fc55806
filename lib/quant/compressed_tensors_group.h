// One entry of compressed-tensors' `config_groups`: {targets, weights, input_activations,
// output_activations, format}, or, in old files, a preset's name with a list of targets.
#pragma once

#include <string>
#include <vector>

#include "lib/io/json.h"
#include "lib/quant/quantization_config.h"

namespace gemma4 {

struct CompressedTensorsGroup {
  std::vector<std::string> targets;
  ModuleScheme scheme;
};

/// `name` is the group's key, `file_format` the config's top-level `format`. Throws Error(kModel)
/// that names the group and the value that is not supported.
CompressedTensorsGroup parse_compressed_tensors_group(const std::string& name, const Json& group,
                                                      const std::string& file_format);

}  // namespace gemma4
