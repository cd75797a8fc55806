#include "lib/io/checkpoint.h"

#include <set>

#include "lib/base/log.h"
#include "lib/io/weight_files.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = uint64_t{16} << 20;

Json read_config(const fs::path& path) {
  Json config = read_json_file(path, ErrorKind::kModel, kMaxConfigBytes);
  if (!config.is_object()) {
    throw Error(ErrorKind::kModel, "config is not a JSON object", path.string());
  }
  return config;
}

// Says why a directory without safetensors weights cannot be used.
[[noreturn]] void refuse_without_weights(const fs::path& directory) {
  static const std::set<std::string> kPickles = {".bin", ".pt", ".pth", ".pkl", ".ckpt"};
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string extension = it->path().extension().string();
    const std::string name = it->path().filename().string();
    if (kPickles.contains(extension)) {
      throw Error(ErrorKind::kModel,
                  "only pickled weights (" + name + "), which can run code and are never read",
                  directory.string(), "get the safetensors files of this model");
    }
    if (extension == ".gguf") {
      throw Error(ErrorKind::kModel, "only GGUF weights (" + name + "), which are not supported",
                  directory.string(), "get the safetensors files of this model");
    }
  }
  throw Error(ErrorKind::kModel,
              "no weights (model.safetensors, or model.safetensors.index.json and its shards)",
              directory.string(), "give a complete checkpoint directory");
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& directory) {
  std::error_code ec;
  if (!fs::is_directory(directory, ec)) {
    throw Error(ErrorKind::kModel, "no such model directory", directory.string());
  }
  const WeightFiles weights = find_weight_files(directory);
  if (weights.files.empty()) refuse_without_weights(directory);
  if (!weights.missing.empty()) {
    throw Error(ErrorKind::kModel,
                std::to_string(weights.missing.size()) + " of " +
                    std::to_string(weights.files.size()) + " weight files missing",
                (directory / weights.missing.front()).string(), "complete the download");
  }

  Checkpoint checkpoint;
  checkpoint.directory_ = directory;
  checkpoint.config_ = read_config(directory / "config.json");
  const fs::path generation_config = directory / "generation_config.json";
  checkpoint.generation_config_ =
      fs::exists(generation_config, ec) ? read_config(generation_config) : Json::object();
  for (const std::string& file : weights.files) checkpoint.add_file(file, weights.weight_map);
  for (const auto& [tensor, file] : weights.weight_map) {
    if (checkpoint.tensors_.contains(tensor)) continue;
    throw Error(ErrorKind::kModel,
                "tensor \"" + printable(tensor, 200) + "\" is not in the file the index names",
                (directory / file).string(), "index and shards do not belong together");
  }
  return checkpoint;
}

void Checkpoint::add_file(const std::string& name,
                          const std::map<std::string, std::string>& weight_map) {
  const SafetensorsFile& file = files_.emplace_back(directory_ / name);
  for (const auto& [tensor_name, tensor] : file.tensors()) {
    const auto mapped = weight_map.find(tensor_name);
    if (!weight_map.empty() && mapped == weight_map.end()) {
      log_warning("tensor \"" + printable(tensor_name, 200) +
                  "\" is not in the index: " + file.path().string());
      continue;
    }
    if (mapped != weight_map.end() && mapped->second != name) {
      throw Error(ErrorKind::kModel,
                  "tensor \"" + printable(tensor_name, 200) + "\" belongs to " + mapped->second +
                      " by the index, but is here too",
                  file.path().string(), "index and shards do not belong together");
    }
    const auto [place, inserted] = tensors_.emplace(tensor_name, Entry{&tensor, files_.size() - 1});
    if (!inserted) {
      throw Error(ErrorKind::kModel,
                  "tensor \"" + printable(tensor_name, 200) + "\" is also in " +
                      files_[place->second.file].path().filename().string(),
                  file.path().string(), "get model.safetensors.index.json of this model");
    }
  }
}

const Tensor* Checkpoint::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : found->second.tensor;
}

std::vector<std::string> Checkpoint::names() const {
  std::vector<std::string> names;
  names.reserve(tensors_.size());
  for (const auto& [name, entry] : tensors_) names.push_back(name);
  return names;
}

uint64_t Checkpoint::total_bytes() const {
  uint64_t total = 0;
  for (const auto& [name, entry] : tensors_) total += entry.tensor->bytes();
  return total;
}

void Checkpoint::advise_willneed(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return;
  files_[found->second.file].advise_willneed(*found->second.tensor);
}

void Checkpoint::release(std::string_view name) const {
  const auto found = tensors_.find(name);
  if (found == tensors_.end()) return;
  files_[found->second.file].release(*found->second.tensor);
}

}  // namespace gemma4
