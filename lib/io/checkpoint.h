// A checkpoint directory: its configs, and its tensors by name, whichever files they lie in.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/tensor.h"
#include "lib/io/json.h"
#include "lib/io/safetensors.h"

namespace gemma4 {

/// Read-only and move-only. Tensors point into mapped files at any alignment, and are valid as
/// long as the checkpoint (or the object it was moved into) lives.
class Checkpoint {
 public:
  /// Opens `directory`: config.json, generation_config.json when there is one, and the weights as
  /// one file or shards. With an index, each tensor must lie in the file that the index names and
  /// in no other; a tensor that the index does not name is left out with a warning.
  /// Throws Error(kModel) that names the file or tensor.
  static Checkpoint open(const std::filesystem::path& directory);

  const std::filesystem::path& directory() const { return directory_; }
  const Json& config() const { return config_; }
  /// An empty object when the checkpoint has none.
  const Json& generation_config() const { return generation_config_; }

  /// nullptr when there is no tensor of this name.
  const Tensor* find(std::string_view name) const;
  /// All names, sorted.
  std::vector<std::string> names() const;
  /// Bytes of all tensors.
  uint64_t total_bytes() const;

  /// Reads a tensor ahead, or drops its pages from this process: for after it was copied into
  /// another layout. A name that is not here is ignored.
  void advise_willneed(std::string_view name) const;
  void release(std::string_view name) const;

 private:
  struct Entry {
    const Tensor* tensor;  // in files_[file], whose map keeps it in place when moved
    size_t file;
  };

  void add_file(const std::string& name, const std::map<std::string, std::string>& weight_map);

  std::filesystem::path directory_;
  Json config_;
  Json generation_config_;
  std::vector<SafetensorsFile> files_;
  std::map<std::string, Entry, std::less<>> tensors_;
};

}  // namespace gemma4
