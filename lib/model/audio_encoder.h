// The conformer of E2B and E4B: log-mel frames to soft tokens, four frames to one.
//
// Source of the order of operations: spec vision-audio-video.md, 4.5 to 4.8
// (huggingface/transformers models/gemma4/modeling_gemma4.py).
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/audio_config.h"
#include "lib/model/media_encoder.h"
#include "lib/model/tower_parts.h"

namespace gemma4 {

class ConformerEncoder : public AudioEncoder {
 public:
  /// `ops` must outlive the encoder, and so must the checkpoint behind `source`.
  ConformerEncoder(TensorSource& source, const AudioTowerConfig& config, int32_t text_hidden_size,
                   Ops& ops);

  AudioFeatures features() const override { return AudioFeatures::kLogMel; }
  int32_t frame_values() const override { return kMelBins; }
  int64_t soft_tokens(int64_t frames) const override { return (frames + 3) / 4; }
  std::vector<SoftTokens> encode(std::span<const AudioInput> clips) override;

  /// Shows inner tensors of a batch as they are computed: "subsample_out", "ffw1_out", "attn_out"
  /// (before its norm), "lconv_out", "out" of each layer, "tower_out"; for tests.
  using Probe = std::function<void(std::string_view what, int32_t layer, Matrix value)>;
  void set_probe(Probe probe) { probe_ = std::move(probe); }

 private:
  struct FeedForward {
    Vector pre_layer_norm, post_layer_norm;  // the latter times residual_weight
    ClippedMlp mlp;
  };
  struct Layer {
    FeedForward feed_forward1, feed_forward2;
    Vector norm_pre_attn, norm_post_attn, norm_out;
    ClippedLinear q_proj, k_proj, v_proj, post;
    Weight relative_k_proj;       // [hidden, hidden]
    RelativeAttention attention;  // relative_keys: empty before the first clip
    Vector conv_pre_norm;
    ClippedLinear linear_start, linear_end;
    LightConv conv;
  };
  // Activations of clips that go through the tower together.
  struct Batch;

  Subsampling load_stage(TensorSource& source, const std::string& prefix, int64_t in_channels,
                         int64_t out_channels) const;
  Layer load_layer(TensorSource& source, const std::string& prefix) const;
  FeedForward load_feed_forward(TensorSource& source, const std::string& prefix) const;
  RelativeAttention load_attention(TensorSource& source, const std::string& prefix) const;
  LightConv load_conv(TensorSource& source, const std::string& prefix) const;

  void make_relative_keys();
  void encode_batch(std::span<const AudioInput> clips, std::vector<SoftTokens>& out);
  void subsample(Batch& batch, std::span<const AudioInput> clips);
  void run_layer(Batch& batch, size_t index);
  void show(std::string_view what, int32_t layer, Matrix value) const {
    if (probe_) probe_(what, layer, value);
  }

  Ops& ops_;
  AudioTowerConfig config_;
  Subsampling stages_[2];
  Weight input_proj_;  // [hidden, kMelBins / 4 * channels of the second stage]
  std::vector<Layer> layers_;
  ClippedLinear output_proj_;  // [output_size, hidden], plain, with a bias
  MediaProjector projector_;
  Probe probe_;
};

}  // namespace gemma4
