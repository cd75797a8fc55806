// The audio part of config.json: the conformer of E2B and E4B, and the encoder-free 12B's raw
// frames. Source: spec vision-audio-video.md, 3.2, 4.6 and 4.7 (huggingface/transformers
// models/gemma4/configuration_gemma4.py, models/gemma4_unified).
#pragma once

#include <cstdint>
#include <optional>

#include "lib/base/tensor.h"
#include "lib/io/json.h"

namespace gemma4 {

/// Bins of the log-mel front end, which the conformer's weights are made for.
inline constexpr int32_t kMelBins = 128;

struct AudioTowerConfig {
  int32_t hidden_size = 0;
  int32_t num_layers = 0;
  int32_t num_heads = 0;
  int32_t conv_channels[2] = {};  // of the two subsampling stages
  int32_t conv_taps = 0;          // of the light convolution
  int32_t output_size = 0;        // of the tower, before the projector
  /// Keys that a frame sees: itself and those just before it. The checkpoints' context of 13 is
  /// read as 12 keys; public implementations differ (spec 0.3), so 13 may be tried.
  int32_t left_keys = 0;
  Dtype constants_dtype = Dtype::kBf16;  // of the relative positions' frequencies
  float residual_weight = 0.0f;
  float logit_cap = 0.0f;
  float rms_norm_eps = 0.0f;
  bool clipped_linears = false;

  int32_t head_dim() const { return hidden_size / num_heads; }
};

struct UnifiedAudioConfig {
  int32_t frame_samples = 0;  // samples that become one soft token
  float rms_norm_eps = 0.0f;
};

/// `config` is config.json of a gemma4 checkpoint; nullopt when it hears nothing. Throws
/// Error(kModel) naming the key for a missing, ill-typed or unsupported value.
std::optional<AudioTowerConfig> parse_audio_tower_config(const Json& config);
/// The same for a gemma4_unified checkpoint.
std::optional<UnifiedAudioConfig> parse_unified_audio_config(const Json& config);

}  // namespace gemma4
