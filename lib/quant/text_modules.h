// Which tensors of a checkpoint are the text decoder's linears, by name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gemma4 {

/// A linear of the text decoder, or a stack of experts.
struct TextModule {
  std::string prefix;  // "model.language_model."
  int64_t layer = -1;  // -1: not part of a layer
  /// "self_attn.q_proj", "mlp.up_proj", "experts.gate_up_proj", "per_layer_model_projection"
  std::string part;

  bool is_expert_stack() const { return part.starts_with("experts."); }
};

/// nullopt for all other tensors: norms, embeddings, routers, towers.
std::optional<TextModule> text_module_of(std::string_view tensor_name);

}  // namespace gemma4
