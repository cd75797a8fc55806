// The text decoder's weights, by the checkpoint's own names (spec text-decoder.md, 3).
#pragma once

#include <functional>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/config.h"
#include "lib/model/tensor_source.h"
#include "lib/model/weight_choice.h"

namespace gemma4 {

/// One layer. What a model lacks is empty: k/v/k_norm where a layer borrows its keys and values,
/// v_proj where values are the key projection, the per-layer and expert parts.
struct LayerWeights {
  LayerConfig config;
  Vector input_layernorm, post_attention_layernorm;
  Vector pre_feedforward_layernorm, post_feedforward_layernorm;
  Weight q_proj, k_proj, v_proj, o_proj;
  Vector q_norm, k_norm;  // [head_dim]
  MlpWeights mlp;
  float layer_scalar = 1.0f;  // multiplies the whole residual stream (2.13)

  // Mixture of experts, beside the dense MLP.
  Vector pre_feedforward_layernorm_2, post_feedforward_layernorm_1, post_feedforward_layernorm_2;
  RouterWeights router;
  std::vector<MlpWeights> experts;

  // Per-layer input.
  Weight per_layer_input_gate;  // [per_layer_width, hidden]
  Weight per_layer_projection;  // [hidden, per_layer_width]
  Vector post_per_layer_input_norm;
};

/// What a diffusion model has for its canvases (spec mtp-diffusion.md, B3).
struct CanvasWeights {
  Vector pre_norm;  // [hidden]
  MlpWeights mlp;   // of self-conditioning, [self_conditioning_size, hidden] and back
  /// [layers] these multiply the residual stream of canvas rows; LayerWeights::layer_scalar that of
  /// all others. Published checkpoints hold equal values.
  std::vector<float> layer_scalars;
};

struct TextWeights {
  Weight embed_tokens;  // [vocab, hidden]
  Weight lm_head;       // empty: tied to embed_tokens
  Vector norm;
  Weight embed_tokens_per_layer;      // [per_layer_vocab, layers * per_layer_width]
  Weight per_layer_model_projection;  // [layers * per_layer_width, hidden]
  Vector per_layer_projection_norm;   // [per_layer_width]
  std::vector<LayerWeights> layers;
  CanvasWeights canvas;  // empty unless the model is a diffusion model

  const Weight& head() const { return lm_head.empty() ? embed_tokens : lm_head; }
};

/// Called after each layer is ready: (layers done, layers in all).
using LoadProgress = std::function<void(int64_t, int64_t)>;

/// "model.language_model." for multimodal checkpoints, "model." for text-only ones.
std::string text_prefix(const TensorSource& source);

/// Takes and prepares the tensors of one layer, whose names begin with `prefix`.
LayerWeights load_layer_weights(TensorSource& source, const TextConfig& config,
                                const LayerConfig& layer, const std::string& prefix, Ops& ops,
                                WeightFormat format);

/// Takes all tensors of the decoder, prepares them on `ops`, and marks as known what released
/// files carry unused (ruling 12). The towers' tensors stay for their own loaders.
/// `choice`: matrices are converted one at a time, and the stored ones let go.
TextWeights load_text_weights(TensorSource& source, const TextConfig& config, Ops& ops,
                              const WeightChoice& choice = {}, const LoadProgress& progress = {});

/// TextWeights::canvas of a diffusion checkpoint, converted as load_text_weights converts linears.
CanvasWeights load_canvas_weights(TensorSource& source, const ModelConfig& config, Ops& ops,
                                  const WeightChoice& choice = {});

}  // namespace gemma4
