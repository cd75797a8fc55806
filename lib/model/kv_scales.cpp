#include "lib/model/kv_scales.h"

#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "lib/base/error.h"
#include "lib/base/scalar_types.h"

namespace gemma4 {
namespace {

float element(const std::string& name, const Tensor& tensor, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  if (tensor.dtype == Dtype::kF32) {
    float value;
    std::memcpy(&value, bytes + static_cast<size_t>(index) * 4, 4);
    return value;
  }
  if (tensor.dtype == Dtype::kBf16) {
    Bf16 value;
    std::memcpy(&value, bytes + static_cast<size_t>(index) * 2, 2);
    return to_float(value);
  }
  throw Error(ErrorKind::kModel, "tensor has dtype " + std::string(dtype_name(tensor.dtype)), name,
              "F32 or BF16 is expected");
}

std::optional<float> find_scale(const Checkpoint& checkpoint, const std::string& name) {
  const Tensor* tensor = checkpoint.find(name);
  if (tensor == nullptr) return std::nullopt;
  if (tensor->elements() < 1) throw Error(ErrorKind::kModel, "the KV scale is empty", name);
  const float scale = element(name, *tensor, 0);
  if (!(scale > 0.0f) || std::isinf(scale)) {
    throw Error(ErrorKind::kModel, "the KV scale is not a positive number", name);
  }
  for (int64_t i = 1; i < tensor->elements(); ++i) {
    if (element(name, *tensor, i) == scale) continue;
    throw Error(ErrorKind::kModel, "KV scales that differ from head to head are not supported",
                name, "use --kv-cache-dtype int8 or bf16");
  }
  return scale;
}

float scale_of(const Checkpoint& checkpoint, const std::string& attention, const char* which) {
  const std::string letter = which;
  for (const std::string& name : {letter + "_scale", letter + "_proj." + letter + "_scale",
                                  letter + "_cache.scale", std::string("kv_scale")}) {
    if (const auto scale = find_scale(checkpoint, attention + name)) return *scale;
  }
  return 1.0f;
}

}  // namespace

std::vector<KvScales> load_kv_scales(const Checkpoint& checkpoint, const TextConfig& config) {
  std::string prefix = "model.";
  for (const char* composite : {"model.language_model.", "model.decoder."}) {
    if (checkpoint.find(std::string(composite) + "norm.weight") != nullptr) prefix = composite;
  }
  std::vector<KvScales> scales(config.layers.size());
  for (size_t l = 0; l < scales.size(); ++l) {
    if (!config.layers[l].owns_kv) continue;
    const std::string attention = prefix + "layers." + std::to_string(l) + ".self_attn.";
    scales[l] = {scale_of(checkpoint, attention, "k"), scale_of(checkpoint, attention, "v")};
  }
  return scales;
}

}  // namespace gemma4
