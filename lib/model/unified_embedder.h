// The encoder-free 12B: 48-pixel patches and frames of 640 samples become soft tokens without a
// tower.
//
// Source of the order of operations: spec vision-audio-video.md, 3 (huggingface/transformers
// models/gemma4_unified/modeling_gemma4_unified.py).
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/audio_config.h"
#include "lib/model/media_encoder.h"
#include "lib/model/tower_parts.h"
#include "lib/model/vision_config.h"

namespace gemma4 {

class UnifiedImageEmbedder : public ImageEncoder {
 public:
  /// `ops` must outlive the embedder, and so must the checkpoint behind `source`.
  UnifiedImageEmbedder(TensorSource& source, const UnifiedVisionConfig& config,
                       int32_t text_hidden_size, Ops& ops);

  int32_t patch_size() const override { return config_.patch_size; }
  int32_t max_grid() const override { return config_.position_table_size; }
  std::vector<SoftTokens> encode(std::span<const ImageInput> images) override;

  /// Shows inner tensors as they are computed: "patch_ln2", "pos_norm"; for tests.
  using Probe = std::function<void(std::string_view what, Matrix value)>;
  void set_probe(Probe probe) { probe_ = std::move(probe); }

 private:
  struct LayerNorm {
    Vector weight, bias;
  };

  LayerNorm load_norm(TensorSource& source, const std::string& module, int64_t size) const;

  Ops& ops_;
  UnifiedVisionConfig config_;
  LayerNorm patch_ln1_;        // [patch_values]
  ClippedLinear patch_dense_;  // [embed_dim, patch_values], plain, with a bias
  LayerNorm patch_ln2_;        // [embed_dim]
  Weight position_table_;      // [2 * position_table_size, embed_dim]: column, row, column, ...
  LayerNorm pos_norm_;         // [embed_dim]
  MediaProjector projector_;
  Probe probe_;
};

class UnifiedAudioEmbedder : public AudioEncoder {
 public:
  UnifiedAudioEmbedder(TensorSource& source, const UnifiedAudioConfig& config,
                       int32_t text_hidden_size, Ops& ops);

  AudioFeatures features() const override { return AudioFeatures::kSamples; }
  int32_t frame_values() const override { return config_.frame_samples; }
  int64_t soft_tokens(int64_t frames) const override { return frames; }
  std::vector<SoftTokens> encode(std::span<const AudioInput> clips) override;

 private:
  Ops& ops_;
  UnifiedAudioConfig config_;
  MediaProjector projector_;
};

}  // namespace gemma4
