#include "lib/quant/text_modules.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace gemma4 {
namespace {

constexpr std::array<std::string_view, 9> kLayerLinears = {
    "self_attn.q_proj", "self_attn.k_proj",     "self_attn.v_proj",
    "self_attn.o_proj", "mlp.gate_proj",        "mlp.up_proj",
    "mlp.down_proj",    "per_layer_input_gate", "per_layer_projection"};
constexpr std::array<std::string_view, 2> kExpertStacks = {"experts.gate_up_proj",
                                                           "experts.down_proj"};
/// What the decoder is called in multimodal, text-only and diffusion checkpoints. The towers'
/// layers are under other names.
constexpr std::array<std::string_view, 3> kDecoders = {"model.language_model.", "model.decoder.",
                                                       "model."};

bool contains(const auto& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

std::optional<TextModule> text_module_of(std::string_view tensor_name) {
  constexpr std::string_view kWeight = ".weight";
  const bool has_suffix = tensor_name.ends_with(kWeight);
  std::string_view name = tensor_name;
  if (has_suffix) name.remove_suffix(kWeight.size());
  const auto prefix = std::find_if(kDecoders.begin(), kDecoders.end(),
                                   [&](std::string_view p) { return name.starts_with(p); });
  if (prefix == kDecoders.end()) return std::nullopt;
  std::string_view rest = name.substr(prefix->size());
  TextModule module{std::string(*prefix), -1, {}};
  if (has_suffix && rest == "per_layer_model_projection") {
    module.part = rest;
    return module;
  }
  constexpr std::string_view kLayers = "layers.";
  if (!rest.starts_with(kLayers)) return std::nullopt;
  rest.remove_prefix(kLayers.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), module.layer);
  if (error != std::errc() || end == rest.data() + rest.size() || *end != '.' || module.layer < 0) {
    return std::nullopt;
  }
  rest.remove_prefix(static_cast<size_t>(end - rest.data()) + 1);
  // Experts are stacked in one tensor without the suffix.
  if (!contains(kLayerLinears, rest) || !has_suffix) {
    if (!contains(kExpertStacks, rest) || has_suffix) return std::nullopt;
  }
  module.part = rest;
  return module;
}

}  // namespace gemma4
