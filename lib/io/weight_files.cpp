#include "lib/io/weight_files.h"

#include <simdjson.h>

#include <algorithm>
#include <cstdio>
#include <set>
#include <string_view>

#include "lib/base/log.h"
#include "lib/io/json.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSingleFile = "model.safetensors";
constexpr std::string_view kIndexFile = "model.safetensors.index.json";
constexpr size_t kMaxDepth = 16;
constexpr unsigned kMaxShards = 10000;

bool is_file(const fs::path& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

bool is_plain_safetensors_name(std::string_view name) {
  return name.find_first_of(std::string_view("/\\\0", 3)) == std::string_view::npos &&
         name.find("..") == std::string_view::npos && name.ends_with(".safetensors");
}

void list_missing(const fs::path& directory, WeightFiles& weights) {
  for (const std::string& file : weights.files) {
    if (!is_file(directory / file)) weights.missing.push_back(file);
  }
}

WeightFiles read_index(const fs::path& directory) {
  const fs::path path = directory / kIndexFile;
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kModel, what, path.string(), "the index is damaged; get it again");
  };
  // Not parse_json: its objects keep their order, and are slow with tens of thousands of keys.
  const std::string text = read_file(path, ErrorKind::kModel);
  simdjson::dom::parser parser;
  simdjson::dom::element index;
  auto error = parser.allocate(text.size(), kMaxDepth);
  if (!error) error = parser.parse(text).get(index);
  if (error) fail(std::string("not valid JSON (") + simdjson::error_message(error) + ")");
  simdjson::dom::object weight_map;
  if (index["weight_map"].get(weight_map)) fail("no \"weight_map\" object in the weight index");

  WeightFiles weights;
  std::set<std::string, std::less<>> files;
  for (const auto field : weight_map) {
    const std::string tensor = "tensor \"" + printable(field.key, 200) + "\"";
    std::string_view file;
    if (field.value.get(file) || !is_plain_safetensors_name(file)) {
      fail(tensor + " is mapped to " + printable(simdjson::minify(field.value), 200) +
           ", not to a plain .safetensors file name");
    }
    if (!weights.weight_map.emplace(field.key, file).second) fail(tensor + " appears twice");
    files.emplace(file);
  }
  if (files.empty()) fail("the weight index names no tensor");
  weights.files.assign(files.begin(), files.end());
  list_missing(directory, weights);
  return weights;
}

std::string shard_name(unsigned number, unsigned count) {
  char name[64];
  std::snprintf(name, sizeof name, "model-%05u-of-%05u.safetensors", number, count);
  return name;
}

// All shards of the set that the first shard found belongs to.
WeightFiles find_shards(const fs::path& directory) {
  unsigned count = 0;
  std::error_code ec;
  for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    unsigned number = 0;
    unsigned total = 0;
    if (std::sscanf(name.c_str(), "model-%5u-of-%5u.safetensors", &number, &total) != 2) continue;
    if (number < 1 || total > kMaxShards || number > total) continue;
    if (name != shard_name(number, total)) continue;
    if (count != 0 && total != count) {
      throw Error(ErrorKind::kModel, "shards of two different sets and no weight index",
                  directory.string(), "get " + std::string(kIndexFile));
    }
    count = total;
  }
  WeightFiles weights;
  for (unsigned number = 1; number <= count; ++number) {
    weights.files.push_back(shard_name(number, count));
  }
  list_missing(directory, weights);
  return weights;
}

}  // namespace

WeightFiles find_weight_files(const fs::path& directory) {
  const bool has_single = is_file(directory / kSingleFile);
  if (is_file(directory / kIndexFile)) {
    WeightFiles weights = read_index(directory);
    if (weights.missing.empty() || !has_single) return weights;
    log_warning("shard " + weights.missing.front() + " of the index is missing, so " +
                std::string(kSingleFile) + " is used: " + directory.string());
  }
  if (has_single) return {.files = {std::string(kSingleFile)}, .missing = {}, .weight_map = {}};
  return find_shards(directory);
}

}  // namespace gemma4
