// The vision tower of E2B, E4B, 26B and 31B: patches to soft tokens.
//
// Source of the order of operations: spec vision-audio-video.md, 2 (huggingface/transformers
// models/gemma4/modeling_gemma4.py).
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/media_encoder.h"
#include "lib/model/patch_grid.h"
#include "lib/model/tower_parts.h"
#include "lib/model/vision_config.h"

namespace gemma4 {

class VisionEncoder : public ImageEncoder {
 public:
  /// `ops` must outlive the encoder, and so must the checkpoint behind `source`.
  VisionEncoder(TensorSource& source, const VisionTowerConfig& config, int32_t text_hidden_size,
                Ops& ops);

  int32_t patch_size() const override { return config_.patch_size; }
  int32_t max_grid() const override { return config_.position_table_size; }
  std::vector<SoftTokens> encode(std::span<const ImageInput> images) override;

  /// Shows inner tensors of a batch as they are computed: "patch_embed", "out" of each layer,
  /// "tower_out" of each image; for tests.
  using Probe = std::function<void(std::string_view what, int32_t layer, Matrix value)>;
  void set_probe(Probe probe) { probe_ = std::move(probe); }

 private:
  struct Layer {
    Vector input_layernorm, post_attention_layernorm;
    Vector pre_feedforward_layernorm, post_feedforward_layernorm;
    ClippedLinear q_proj, k_proj, v_proj, o_proj;  // [hidden, hidden] for the released sizes
    Vector q_norm, k_norm;                         // [head_dim]
    ClippedMlp mlp;
  };
  // Images that go through the tower together.
  struct Batch;

  Layer load_layer(TensorSource& source, const std::string& prefix) const;
  void encode_batch(std::span<const ImageInput> images, std::span<const PatchGrid> grids,
                    std::vector<SoftTokens>& out);
  void embed_patches(Batch& batch, std::span<const ImageInput> images);
  void attend(Batch& batch, const Layer& layer);
  void show(std::string_view what, int32_t layer, Matrix value) const {
    if (probe_) probe_(what, layer, value);
  }

  Ops& ops_;
  VisionTowerConfig config_;
  Weight input_proj_;      // [hidden, patch_values]
  Weight position_table_;  // [2 * position_table_size, hidden]: columns, then rows
  std::vector<Layer> layers_;
  Vector std_bias_, std_scale_;  // [hidden], empty: not standardised
  MediaProjector projector_;
  Probe probe_;
};

}  // namespace gemma4
