// Which safetensors files of a checkpoint directory hold its weights.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace gemma4 {

struct WeightFiles {
  std::vector<std::string> files;    // plain names inside the directory, sorted
  std::vector<std::string> missing;  // those of `files` that do not exist
  /// Tensor name -> file, from the index; empty without one.
  std::map<std::string, std::string> weight_map;
};

/// In this order: the shards that model.safetensors.index.json names, when all of them exist;
/// model.safetensors; shards named model-00001-of-0000N.safetensors without an index. When none is
/// complete, `missing` names what is not there; `files` is empty when the directory holds no sign
/// of safetensors weights. Throws Error(kModel) for an index that breaks a rule.
WeightFiles find_weight_files(const std::filesystem::path& directory);

}  // namespace gemma4
