#include "lib/runtime/weight_cache.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/parallel.h"
#include "lib/io/safetensors_writer.h"
#include "lib/io/weight_files.h"
#include "lib/quant/quantized_matrix.h"
#include "lib/runtime/environment.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLayoutVersion = "1";

int bits_of(WeightFormat format) {
  if (format == WeightFormat::kInt8) return 8;
  return format == WeightFormat::kInt4 ? 4 : 0;
}

// Of the files' contents as far as they tell checkpoints apart cheaply: headers, sizes, and when
// they were last written.
std::string key_of(const fs::path& directory, const WeightChoice& choice) {
  std::string key =
      fmt::format("{} {} {} {}", kLayoutVersion, model_fingerprint(directory),
                  weight_format_name(choice.linears), weight_format_name(choice.lm_head));
  for (const std::string& file : find_weight_files(directory).files) {
    struct stat status {};
    if (::stat((directory / file).c_str(), &status) != 0) continue;
    key += fmt::format(" {}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  }
  return key;
}

uint64_t checksum_of_block(std::span<const std::byte> bytes) {
  constexpr uint64_t kPrime = 0x9E3779B97F4A7C15u;
  std::array<uint64_t, 4> lanes = {1, 2, 3, 4};
  size_t i = 0;
  for (; i + 32 <= bytes.size(); i += 32) {
    for (size_t l = 0; l < 4; ++l) {
      uint64_t word;
      std::memcpy(&word, bytes.data() + i + 8 * l, 8);
      lanes[l] = (lanes[l] ^ word) * kPrime;
      lanes[l] ^= lanes[l] >> 29;
    }
  }
  for (; i < bytes.size(); ++i) lanes[0] = (lanes[0] ^ static_cast<uint64_t>(bytes[i])) * kPrime;
  uint64_t sum = bytes.size();
  for (const uint64_t lane : lanes) sum = (sum ^ lane ^ (lane >> 31)) * kPrime;
  return sum;
}

int64_t checksum(std::span<const std::byte> codes, std::span<const std::byte> scales) {
  constexpr size_t kBlock = size_t{1} << 20;
  std::vector<uint64_t> sums((codes.size() + kBlock - 1) / kBlock + 1);
  parallel_items(static_cast<int64_t>(sums.size()), [&](int64_t i) {
    const size_t at = static_cast<size_t>(i) * kBlock;
    const bool last = static_cast<size_t>(i) + 1 == sums.size();
    sums[static_cast<size_t>(i)] =
        checksum_of_block(last ? scales : codes.subspan(at, std::min(kBlock, codes.size() - at)));
  });
  return static_cast<int64_t>(checksum_of_block(std::as_bytes(std::span(sums))));
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.data), tensor.bytes()};
}

std::span<const std::byte> codes_of(const QuantizedMatrix& matrix) {
  return {reinterpret_cast<const std::byte*>(matrix.codes),
          static_cast<size_t>(matrix.rows) * matrix.row_bytes};
}

std::span<const std::byte> scales_of(const QuantizedMatrix& matrix) {
  return {static_cast<const std::byte*>(matrix.scales),
          static_cast<size_t>(matrix.rows * matrix.groups()) *
              static_cast<size_t>(dtype_bits(matrix.scale_dtype) / 8)};
}

// Whether every module of the file has its three tensors, and the checksum is theirs.
bool is_whole(const SafetensorsFile& file) {
  constexpr std::string_view kCodes = ".codes";
  size_t modules = 0;
  for (const auto& [name, codes] : file.tensors()) {
    if (!name.ends_with(kCodes)) continue;
    const std::string module = name.substr(0, name.size() - kCodes.size());
    const auto scales = file.find(module + ".scales");
    const auto sum = file.find(module + ".checksum");
    if (!scales || !sum || sum->dtype != Dtype::kI64 || sum->elements() != 1) return false;
    int64_t expected;
    std::memcpy(&expected, sum->data, sizeof(expected));
    if (checksum(bytes_of(codes), bytes_of(*scales)) != expected) return false;
    ++modules;
  }
  return modules > 0 && file.tensors().size() == 3 * modules;
}

using Named = std::pair<std::string, const Weight*>;

std::vector<Named> matrices_of(const TextWeights& weights, const std::string& prefix) {
  std::vector<Named> all = {
      {"lm_head", &weights.lm_head},
      {prefix + "per_layer_model_projection", &weights.per_layer_model_projection}};
  for (size_t l = 0; l < weights.layers.size(); ++l) {
    const LayerWeights& w = weights.layers[l];
    const std::string layer = prefix + "layers." + std::to_string(l) + ".";
    const auto add_mlp = [&](const std::string& name, const MlpWeights& mlp) {
      all.push_back({layer + name + ".gate_proj", &mlp.gate});
      all.push_back({layer + name + ".up_proj", &mlp.up});
      all.push_back({layer + name + ".down_proj", &mlp.down});
    };
    all.push_back({layer + "self_attn.q_proj", &w.q_proj});
    all.push_back({layer + "self_attn.k_proj", &w.k_proj});
    all.push_back({layer + "self_attn.v_proj", &w.v_proj});
    all.push_back({layer + "self_attn.o_proj", &w.o_proj});
    all.push_back({layer + "per_layer_input_gate", &w.per_layer_input_gate});
    all.push_back({layer + "per_layer_projection", &w.per_layer_projection});
    add_mlp("mlp", w.mlp);
    for (size_t e = 0; e < w.experts.size(); ++e) {
      add_mlp("experts." + std::to_string(e), w.experts[e]);
    }
  }
  std::erase_if(all, [](const Named& named) {
    const auto& quantized = named.second->quantized;
    return !quantized || !quantized->owner;  // empty, plain, or in the checkpoint's own files
  });
  return all;
}

}  // namespace

WeightCache::WeightCache(const fs::path& directory, const WeightChoice& choice)
    : path_(directory / fmt::format("gemma4-cache-{}-{}.weights",
                                    weight_format_name(choice.linears),
                                    weight_format_name(choice.lm_head))),
      key_(key_of(directory, choice)),
      linear_bits_(bits_of(choice.linears)),
      head_bits_(bits_of(choice.lm_head)) {
  std::error_code ec;
  if (!fs::is_regular_file(path_, ec)) return;
  try {
    file_.emplace(path_);
    const auto key = file_->metadata().find("key");
    if (key == file_->metadata().end() || key->second != key_) {
      log_info("the weight cache is of other weights and is made anew: " + path_.string());
      file_.reset();
    } else if (!is_whole(*file_)) {
      log_warning("the weight cache is damaged and is made anew: " + path_.string());
      file_.reset();
    }
  } catch (const Error& error) {
    file_.reset();
    log_warning(std::string("the weight cache is made anew: ") + error.what());
  }
}

bool WeightCache::has(const std::string& module) const {
  return file_ && file_->find(module + ".codes").has_value();
}

std::shared_ptr<const QuantizedMatrix> WeightCache::find(const std::string& module, int64_t rows,
                                                         int64_t cols) const {
  if (!has(module)) return nullptr;
  const Tensor codes = *file_->find(module + ".codes");
  const Tensor scales = *file_->find(module + ".scales");
  auto matrix = std::make_shared<QuantizedMatrix>();
  matrix->rows = rows;
  matrix->cols = cols;
  matrix->bits = module == "lm_head" ? head_bits_ : linear_bits_;
  // Rows of codes fill 32-bit words, as compressed-tensors packs them.
  matrix->row_bytes = static_cast<size_t>((cols * matrix->bits + 31) / 32 * 4);
  const std::vector<int64_t> shape = {rows, static_cast<int64_t>(matrix->row_bytes)};
  const bool float_scales =
      scales.dtype == Dtype::kBf16 || scales.dtype == Dtype::kF16 || scales.dtype == Dtype::kF32;
  if (matrix->bits == 0 || codes.dtype != Dtype::kU8 || codes.shape != shape || !float_scales ||
      scales.shape.size() != 2 || scales.shape[0] != rows || scales.shape[1] < 1 ||
      cols % scales.shape[1] != 0) {
    return nullptr;
  }
  matrix->codes = static_cast<const uint8_t*>(codes.data);
  matrix->group_size = cols / scales.shape[1];
  matrix->scale_dtype = scales.dtype;
  matrix->scales = scales.data;
  return matrix;
}

void WeightCache::save(const TextWeights& weights, const std::string& prefix) const {
  const std::vector<Named> matrices = matrices_of(weights, prefix);
  if (matrices.empty()) return;
  std::vector<TensorDeclaration> declared;
  for (const auto& [module, weight] : matrices) {
    const QuantizedMatrix& m = *weight->quantized;
    declared.push_back(
        {module + ".codes", Dtype::kU8, {m.rows, static_cast<int64_t>(m.row_bytes)}});
    declared.push_back({module + ".scales", m.scale_dtype, {m.rows, m.groups()}});
    declared.push_back({module + ".checksum", Dtype::kI64, {1}});
  }
  try {
    SafetensorsWriter writer(path_, declared, {{"key", key_}});
    for (const auto& [module, weight] : matrices) {
      const QuantizedMatrix& m = *weight->quantized;
      const std::array<int64_t, 1> sum = {checksum(codes_of(m), scales_of(m))};
      writer.write(module + ".codes", codes_of(m));
      writer.write(module + ".scales", scales_of(m));
      writer.write(module + ".checksum", std::as_bytes(std::span(sum)));
    }
    writer.commit();
  } catch (const Error& error) {
    log_warning(std::string("the weight cache is not kept: ") + error.what());
  }
}

bool CachedTensors::has(const std::string& name) const {
  // A stack of experts is in the cache expert by expert.
  const std::string stack = "experts.gate_up_proj";
  if (name.ends_with(stack) &&
      cache_.has(name.substr(0, name.size() - stack.size()) + "experts.0.gate_proj")) {
    for (const char* part : {"gate_up_proj", "down_proj"}) {
      source_.ignore(name.substr(0, name.size() - 12) + part);
    }
    return false;
  }
  return source_.has(name);
}

bool CachedTensors::has_matrix(const std::string& module) const {
  return cache_.has(module) || source_.has_matrix(module);
}

Weight CachedTensors::matrix(const std::string& module, int64_t rows, int64_t cols) {
  auto cached = cache_.find(module, rows, cols);
  if (cached == nullptr) return source_.matrix(module, rows, cols);
  source_.ignore(module + ".weight");
  Weight weight;
  weight.name = module;
  weight.rows = rows;
  weight.cols = cols;
  weight.quantized = std::move(cached);
  return weight;
}

}  // namespace gemma4
