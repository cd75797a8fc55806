#include "lib/model/text_weights.h"

#include <string>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

class LayerLoader {
 public:
  LayerLoader(TensorSource& source, const TextConfig& config, const std::string& prefix)
      : source_(source), config_(config), prefix_(prefix), hidden_(config.hidden_size) {}

  LayerWeights load(const LayerConfig& layer) {
    LayerWeights w;
    w.config = layer;
    w.input_layernorm = norm("input_layernorm", hidden_);
    w.post_attention_layernorm = norm("post_attention_layernorm", hidden_);
    w.pre_feedforward_layernorm = norm("pre_feedforward_layernorm", hidden_);
    w.post_feedforward_layernorm = norm("post_feedforward_layernorm", hidden_);
    w.layer_scalar = source_.scalar(prefix_ + "layer_scalar");
    load_attention(w);
    w.mlp = {matrix("mlp.gate_proj", layer.intermediate_size, hidden_),
             matrix("mlp.up_proj", layer.intermediate_size, hidden_),
             matrix("mlp.down_proj", hidden_, layer.intermediate_size)};
    if (config_.num_experts > 0) load_experts(w);
    if (config_.per_layer_width > 0) {
      w.per_layer_input_gate = matrix("per_layer_input_gate", config_.per_layer_width, hidden_);
      w.per_layer_projection = matrix("per_layer_projection", hidden_, config_.per_layer_width);
      w.post_per_layer_input_norm = norm("post_per_layer_input_norm", hidden_);
    }
    return w;
  }

 private:
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) {
    return source_.matrix(prefix_ + module, rows, cols);
  }
  Vector norm(const std::string& module, int64_t size) {
    return source_.vector(prefix_ + module + ".weight", size);
  }

  void load_attention(LayerWeights& w) {
    const LayerConfig& layer = w.config;
    const int64_t q_size = int64_t{config_.num_heads} * layer.head_dim;
    const int64_t kv_size = int64_t{layer.num_kv_heads} * layer.head_dim;
    w.q_proj = matrix("self_attn.q_proj", q_size, hidden_);
    w.o_proj = matrix("self_attn.o_proj", hidden_, q_size);
    w.q_norm = norm("self_attn.q_norm", layer.head_dim);
    // Scales for a quantised cache: load_kv_scales reads them where they are wanted.
    for (const char* name :
         {"k_scale", "v_scale", "q_scale", "k_proj.k_scale", "v_proj.v_scale", "k_cache.scale",
          "v_cache.scale", "kv_scale", "k_cache_scale", "v_cache_scale"}) {
      source_.ignore(prefix_ + "self_attn." + name);
    }
    if (layer.owns_kv) {
      w.k_proj = matrix("self_attn.k_proj", kv_size, hidden_);
      w.k_norm = norm("self_attn.k_norm", layer.head_dim);
      if (!layer.k_eq_v) w.v_proj = matrix("self_attn.v_proj", kv_size, hidden_);
    } else {
      // Released files carry these for layers that borrow keys and values: never read.
      for (const char* module : {"k_proj", "v_proj", "k_norm"}) {
        source_.ignore_prefix(prefix_ + "self_attn." + module + ".");
      }
    }
  }

  void load_experts(LayerWeights& w) {
    const int64_t count = config_.num_experts;
    const int64_t width = config_.expert_intermediate_size;
    w.pre_feedforward_layernorm_2 = norm("pre_feedforward_layernorm_2", hidden_);
    w.post_feedforward_layernorm_1 = norm("post_feedforward_layernorm_1", hidden_);
    w.post_feedforward_layernorm_2 = norm("post_feedforward_layernorm_2", hidden_);
    w.router.projection = matrix("router.proj", count, hidden_);
    w.router.scale = source_.vector(prefix_ + "router.scale", hidden_);
    w.router.per_expert_scale = source_.vector(prefix_ + "router.per_expert_scale", count);
    w.router.top_k = config_.experts_per_token;
    if (source_.has(prefix_ + "experts.gate_up_proj")) {
      // Rows 0 ... width-1 of an expert's gate_up block are its gate, the rest its up projection.
      const Weight gate_up = stacked("experts.gate_up_proj", count, 2 * width, hidden_);
      const Weight down = stacked("experts.down_proj", count, hidden_, width);
      for (int64_t e = 0; e < count; ++e) {
        w.experts.push_back({gate_up.row_slice(2 * width * e, width),
                             gate_up.row_slice(2 * width * e + width, width),
                             down.row_slice(hidden_ * e, hidden_)});
      }
      return;
    }
    for (int64_t e = 0; e < count; ++e) {  // quantised checkpoints name each expert
      const std::string expert = "experts." + std::to_string(e) + ".";
      w.experts.push_back({matrix(expert + "gate_proj", width, hidden_),
                           matrix(expert + "up_proj", width, hidden_),
                           matrix(expert + "down_proj", hidden_, width)});
    }
  }

  // A tensor [count, rows, cols] as one tall matrix.
  Weight stacked(const std::string& name, int64_t count, int64_t rows, int64_t cols) {
    Weight weight;
    weight.name = prefix_ + name;
    weight.dense = source_.take(weight.name, {count, rows, cols});
    weight.rows = count * rows;
    weight.cols = cols;
    return weight;
  }

  TensorSource& source_;
  const TextConfig& config_;
  std::string prefix_;
  int64_t hidden_;
};

// Converts a matrix as wanted, has the backend lay it out, and lets go of what it was made from.
void finish_matrix(TensorSource& source, Ops& ops, WeightFormat format, Weight& weight) {
  if (weight.empty()) return;
  const Weight stored = weight;
  weight = convert_weight(std::move(weight), format);
  ops.prepare(weight);
  const bool converted =
      weight.dense.data != stored.dense.data || weight.quantized != stored.quantized;
  if (converted || weight.layout != nullptr) source.release(stored);
}

void finish_layer(TensorSource& source, Ops& ops, WeightFormat format, LayerWeights& w) {
  const auto one = [&](Weight& weight) { finish_matrix(source, ops, format, weight); };
  const auto mlp = [&](MlpWeights& weights) {
    one(weights.gate);
    one(weights.up);
    one(weights.down);
  };
  for (Weight* weight : {&w.q_proj, &w.k_proj, &w.v_proj, &w.o_proj, &w.per_layer_input_gate,
                         &w.per_layer_projection}) {
    one(*weight);
  }
  finish_matrix(source, ops, WeightFormat::kStored, w.router.projection);
  mlp(w.mlp);
  for (MlpWeights& expert : w.experts) mlp(expert);
}

}  // namespace

std::string text_prefix(const TensorSource& source) {
  const std::string composite = "model.language_model.";
  return source.has(composite + "norm.weight") ? composite : "model.";
}

LayerWeights load_layer_weights(TensorSource& source, const TextConfig& config,
                                const LayerConfig& layer, const std::string& prefix, Ops& ops,
                                WeightFormat format) {
  LayerWeights weights = LayerLoader(source, config, prefix).load(layer);
  finish_layer(source, ops, format, weights);
  return weights;
}

TextWeights load_text_weights(TensorSource& source, const TextConfig& config, Ops& ops,
                              const WeightChoice& choice, const LoadProgress& progress) {
  const std::string prefix = text_prefix(source);
  const int64_t hidden = config.hidden_size;
  TextWeights w;
  w.embed_tokens = source.matrix(prefix + "embed_tokens", config.vocab_size, hidden);
  if (source.has_matrix("lm_head")) {
    w.lm_head = source.matrix("lm_head", config.vocab_size, hidden);
  }
  w.norm = source.vector(prefix + "norm.weight", hidden);
  if (config.per_layer_width > 0) {
    const int64_t width = config.per_layer_width;
    const int64_t all = width * config.num_layers();
    w.embed_tokens_per_layer =
        source.matrix(prefix + "embed_tokens_per_layer", config.per_layer_vocab_size, all);
    w.per_layer_model_projection =
        source.matrix(prefix + "per_layer_model_projection", all, hidden);
    w.per_layer_projection_norm = source.vector(prefix + "per_layer_projection_norm.weight", width);
    finish_matrix(source, ops, choice.linears, w.per_layer_model_projection);
    finish_matrix(source, ops, WeightFormat::kStored, w.embed_tokens_per_layer);
  }
  if (w.lm_head.empty() && choice.lm_head != WeightFormat::kStored) w.lm_head = w.embed_tokens;
  if (w.lm_head.empty()) {
    ops.prepare(w.embed_tokens);  // it is the head as well
  } else {
    finish_matrix(source, ops, choice.lm_head, w.lm_head);
  }
  for (int32_t l = 0; l < config.num_layers(); ++l) {
    w.layers.push_back(load_layer_weights(source, config, config.layers[static_cast<size_t>(l)],
                                          prefix + "layers." + std::to_string(l) + ".", ops,
                                          choice.linears));
    if (progress) progress(l + 1, config.num_layers());
  }
  return w;
}

CanvasWeights load_canvas_weights(TensorSource& source, const ModelConfig& config, Ops& ops,
                                  const WeightChoice& choice) {
  const std::string module = "model.decoder.self_conditioning.";
  const int64_t hidden = config.text.hidden_size;
  const int64_t width = config.diffusion->self_conditioning_size;
  CanvasWeights w;
  w.pre_norm = source.vector(module + "pre_norm.weight", hidden);
  w.mlp = {source.matrix(module + "gate_proj", width, hidden),
           source.matrix(module + "up_proj", width, hidden),
           source.matrix(module + "down_proj", hidden, width)};
  for (Weight* weight : {&w.mlp.gate, &w.mlp.up, &w.mlp.down}) {
    finish_matrix(source, ops, choice.linears, *weight);
  }
  for (int32_t l = 0; l < config.text.num_layers(); ++l) {
    w.layer_scalars.push_back(
        source.scalar("model.decoder.layers." + std::to_string(l) + ".layer_scalar"));
  }
  return w;
}

}  // namespace gemma4
