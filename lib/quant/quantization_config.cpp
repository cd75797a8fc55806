#include "lib/quant/quantization_config.h"

#include <algorithm>
#include <limits>

#include "lib/base/error.h"
#include "lib/quant/compressed_tensors_group.h"

namespace gemma4 {
namespace {

constexpr std::string_view kWhere = "quantization_config";

[[noreturn]] void refuse(const std::string& what, std::string_view hint = {}) {
  throw Error(ErrorKind::kModel, what + " is not supported", kWhere, hint);
}

std::string shown(const Json& value) {
  return printable(value.dump(-1, ' ', false, Json::error_handler_t::replace), 80);
}

/// nullptr when the key is absent or null.
const Json* find_value(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_or(const Json& object, const char* key, const std::string& fallback) {
  const Json* value = find_value(object, key);
  if (value == nullptr) return fallback;
  if (!value->is_string()) refuse(std::string(key) + " " + shown(*value));
  return value->get<std::string>();
}

/// These change what the weights mean, and are mostly empty.
void refuse_unless_empty(const Json& object, const char* key) {
  const Json* value = find_value(object, key);
  if (value == nullptr || value->empty()) return;
  if (value->is_object() && text_or(*value, "format", "") == "dense") return;
  refuse(std::string(key) + " " + shown(*value));
}

/// Scales for an 8-bit KV cache may come with the checkpoint; whether they are used is the
/// user's choice (--kv-cache-dtype), but a scheme of another kind would be misread.
void check_kv_cache_scheme(const Json& object) {
  const Json* scheme = find_value(object, "kv_cache_scheme");
  if (scheme == nullptr) return;
  const auto has = [&](const char* key, const Json& wanted) {
    const auto found = scheme->find(key);
    return found != scheme->end() && *found == wanted;
  };
  if (!scheme->is_object() || !has("num_bits", 8) ||
      (scheme->contains("dynamic") && !has("dynamic", false)) ||
      (scheme->contains("symmetric") && !has("symmetric", true)) ||
      !(has("type", "float") || has("type", "int")) ||
      !(has("strategy", "tensor") || has("strategy", "attn_head"))) {
    refuse("kv_cache_scheme " + shown(*scheme));
  }
}

/// A target that is a class name covers the modules of that class. Matrices are looked up by
/// module name alone, whose last part tells the class.
bool class_matches(const std::string& target, std::string_view module) {
  if (module.ends_with("embed_tokens") || module.ends_with("embed_tokens_per_layer")) {
    return target.ends_with("Embedding");  // Embedding, VocabParallelEmbedding, ...
  }
  return target == "Linear" || (target == "ParallelLMHead" && module.ends_with("lm_head"));
}

}  // namespace

QuantizationConfig QuantizationConfig::parse(const Json& config) {
  QuantizationConfig result;
  if (!config.is_object()) refuse("a config.json that is not an object");
  const Json* object = find_value(config, "quantization_config");
  if (object == nullptr) object = find_value(config, "compression_config");
  if (object == nullptr) return result;
  if (!object->is_object()) refuse(shown(*object));
  const std::string method = text_or(*object, "quant_method", "compressed-tensors");
  if (method == "compressed-tensors") {
    result.parse_compressed_tensors(*object);
  } else if (method == "gemma") {
    result.parse_gemma(*object);
  } else {
    refuse("quant_method \"" + printable(method, 80) + "\"",
           "\"compressed-tensors\" and \"gemma\" are");
  }
  return result;
}

void QuantizationConfig::parse_compressed_tensors(const Json& object) {
  method_ = QuantMethod::kCompressedTensors;
  const std::string format = text_or(object, "format", "dense");
  refuse_unless_empty(object, "sparsity_config");
  refuse_unless_empty(object, "transform_config");
  check_kv_cache_scheme(object);
  if (const Json* ignore = find_value(object, "ignore")) {
    if (!ignore->is_array()) refuse("ignore " + shown(*ignore));
    for (const Json& entry : *ignore) {
      if (!entry.is_string()) refuse("ignore entry " + shown(entry));
      ignore_.emplace_back(entry.get<std::string>(), "quantization_config ignore");
    }
  }
  if (const Json* groups = find_value(object, "config_groups")) {
    if (!groups->is_object()) refuse("config_groups " + shown(*groups));
    for (const auto& [name, value] : groups->items()) {
      const CompressedTensorsGroup parsed = parse_compressed_tensors_group(name, value, format);
      Group& group = groups_.emplace_back();
      group.scheme = parsed.scheme;
      for (const std::string& target : parsed.targets) {
        group.targets.emplace_back(target, "quantization_config targets");
      }
    }
  }
}

void QuantizationConfig::parse_gemma(const Json& object) {
  method_ = QuantMethod::kGemma;
  const auto bits_of = [](const Json& holder, int fallback) {
    const Json* bits = find_value(holder, "num_bits");
    if (bits == nullptr) return fallback;
    if (*bits != 2 && *bits != 4 && *bits != 8) refuse("num_bits " + shown(*bits));
    return bits->get<int>();
  };
  gemma_bits_ = bits_of(object, 4);
  const Json* modules = find_value(object, "module_quant_configs");
  if (modules == nullptr) return;
  if (!modules->is_object()) refuse("module_quant_configs " + shown(*modules));
  for (const auto& [pattern, value] : modules->items()) {
    if (!value.is_object()) refuse("module_quant_configs " + shown(value));
    gemma_rules_.push_back({BoundedRegex(pattern, "quantization_config module_quant_configs"),
                            bits_of(value, gemma_bits_)});
  }
}

std::optional<ModuleScheme> QuantizationConfig::scheme_for(std::string_view module) const {
  if (method_ == QuantMethod::kGemma) {
    // The patterns are the alternatives of one search: the earliest position in the name wins,
    // then the first pattern.
    ModuleScheme scheme{.bits = gemma_bits_};
    size_t earliest = std::numeric_limits<size_t>::max();
    for (const GemmaRule& rule : gemma_rules_) {
      const auto position = rule.pattern.search(module);
      if (!position || *position >= earliest) continue;
      earliest = *position;
      scheme.bits = rule.bits;
    }
    return scheme;
  }
  const auto matches = [&](const ModulePattern& pattern) { return pattern.matches(module); };
  if (std::any_of(ignore_.begin(), ignore_.end(), matches)) return std::nullopt;
  // Names over all targets first, then classes, as vLLM does.
  for (const Group& group : groups_) {
    if (std::any_of(group.targets.begin(), group.targets.end(), matches)) return group.scheme;
  }
  for (const Group& group : groups_) {
    for (const ModulePattern& target : group.targets) {
      if (class_matches(target.text(), module)) return group.scheme;
    }
  }
  return std::nullopt;
}

}  // namespace gemma4
