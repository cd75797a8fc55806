// The vision part of config.json: the tower of E2B, E4B, 26B and 31B, and the encoder-free 12B's
// embedder. Source: spec vision-audio-video.md, 2.1 and 3.1 (huggingface/transformers
// models/gemma4/configuration_gemma4.py, models/gemma4_unified).
#pragma once

#include <cstdint>
#include <optional>

#include "lib/io/json.h"

namespace gemma4 {

struct VisionTowerConfig {
  int32_t hidden_size = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;
  int32_t head_dim = 0;  // a multiple of 4: each axis rotates pairs of one half
  int32_t intermediate_size = 0;
  int32_t patch_size = 0;      // pixels
  int32_t pooling_kernel = 0;  // patches a side that become one soft token
  int32_t position_table_size = 0;
  float rope_theta = 0.0f;
  float rms_norm_eps = 0.0f;
  bool clipped_linears = false;
  bool standardize = false;

  int64_t patch_values() const { return int64_t{3} * patch_size * patch_size; }
};

struct UnifiedVisionConfig {
  int32_t patch_size = 0;  // pixels of the merged patch that becomes one soft token
  int32_t embed_dim = 0;
  int32_t position_table_size = 0;
  float rms_norm_eps = 0.0f;

  int64_t patch_values() const { return int64_t{3} * patch_size * patch_size; }
};

/// `config` is config.json of a gemma4 checkpoint; nullopt when it has no vision tower. Throws
/// Error(kModel) naming the key for a missing, ill-typed or unsupported value.
std::optional<VisionTowerConfig> parse_vision_tower_config(const Json& config);
/// The same for a gemma4_unified checkpoint.
std::optional<UnifiedVisionConfig> parse_unified_vision_config(const Json& config);

}  // namespace gemma4
