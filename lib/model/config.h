// config.json and generation_config.json, read once into plain values. Nothing is hard-coded: a
// value that the model needs and the file lacks is an error that names it.
//
// Sources: spec text-decoder.md, 1.1 (huggingface/transformers
// models/gemma4/configuration_gemma4.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/step.h"
#include "lib/io/json.h"

namespace gemma4 {

/// One decoder layer, with everything that differs from layer to layer.
struct LayerConfig {
  LayerKind kind = LayerKind::kFull;
  int32_t head_dim = 0;
  int32_t num_kv_heads = 0;
  int32_t intermediate_size = 0;  // of the dense MLP, doubled where the config says so
  int32_t kv_layer = 0;           // the layer whose keys and values it reads: itself, or its donor
  bool owns_kv = true;
  bool k_eq_v = false;  // values are the raw key projection
};

struct RopeConfig {
  double theta = 0.0;
  bool proportional = false;  // only the first partial_rotary_factor of the pairs rotate
  double partial_rotary_factor = 1.0;
  double factor = 1.0;
};

struct TextConfig {
  int32_t vocab_size = 0;
  int32_t hidden_size = 0;
  int32_t num_heads = 0;
  int32_t sliding_window = 0;
  int32_t max_position_embeddings = 0;
  float rms_norm_eps = 0.0f;
  float final_logit_softcapping = 0.0f;  // 0: none
  float embedding_scale = 0.0f;          // sqrt(hidden_size), rounded to the config's dtype
  int32_t per_layer_width = 0;           // 0: no per-layer embeddings
  float per_layer_scale = 0.0f;          // sqrt(per_layer_width), rounded likewise
  int32_t per_layer_vocab_size = 0;
  int32_t num_experts = 0;  // 0: no experts
  int32_t experts_per_token = 0;
  int32_t expert_intermediate_size = 0;
  bool bidirectional_vision = false;  // rows of an image see each other on sliding layers
  std::vector<LayerConfig> layers;
  RopeConfig rope[kLayerKinds];

  int32_t num_layers() const { return static_cast<int32_t>(layers.size()); }
  /// The last layer that owns keys and values: above it, only rows whose logits are wanted count.
  int32_t last_kv_layer() const;
};

/// Ids that the config gives a meaning; -1: the model has none.
struct MediaTokens {
  int32_t image = -1, audio = -1, video = -1;
  int32_t begin_image = -1, end_image = -1, begin_audio = -1, end_audio = -1;
};

/// What generation_config.json asks for, with its documented defaults (ruling 18).
struct GenerationDefaults {
  float temperature = 1.0f;
  int32_t top_k = 64;
  float top_p = 0.95f;
  std::vector<int32_t> suppress_tokens;
};

/// A model that writes its answer in blocks, each settled in up to max_denoising_steps steps (spec
/// mtp-diffusion.md, B2). The defaults are those of the official implementation.
struct DiffusionConfig {
  int32_t canvas_length = 0;  // tokens of a block
  int32_t self_conditioning_size = 0;
  int32_t max_denoising_steps = 48;
  double entropy_bound = 0.1;  // nats that the accepted places of a step may have
  /// The temperature falls from t_max towards t_min over the steps.
  double t_min = 0.4;
  double t_max = 0.8;
  bool has_temperature = true;  // false: the logits are used as they are
  /// A block is done when its best tokens are those of so many steps before, and the mean entropy
  /// is below confidence_threshold.
  int32_t stability_threshold = 1;
  double confidence_threshold = 0.005;
  bool stops_early = true;
};

struct ModelConfig {
  /// gemma4, gemma4_text, gemma4_unified, gemma4_unified_text, diffusion_gemma
  std::string model_type;
  TextConfig text;
  MediaTokens media;
  GenerationDefaults generation;
  std::optional<DiffusionConfig> diffusion;  // of diffusion_gemma only
  std::vector<int32_t> stop_ids;             // union over all files (ruling 5), ascending
  int32_t bos_id = 2;
  int32_t pad_id = 0;
  Json json;  // config.json itself, for the parts that other files read
};

class ConfigReader;

/// Whose keys and values the layers of a decoder read.
enum class KvOwner { kItself, kAnotherModel };

/// The decoder that `text` describes, a part of `top` or `top` itself. With kAnotherModel no layer
/// owns keys and values (an assistant; `kv_layer` is left to the caller). Throws as below.
TextConfig parse_text_config(const ConfigReader& top, const ConfigReader& text, KvOwner owner);

/// Throws Error(kModel) naming the key for a missing, ill-typed or unsupported value.
/// `generation` is generation_config.json, or an empty object.
ModelConfig parse_model_config(const Json& config, const Json& generation);

}  // namespace gemma4
