#include "lib/runtime/token_traffic.h"

#include <algorithm>

#include "lib/quant/quantized_matrix.h"

namespace gemma4 {
namespace {

uint64_t matrix_bytes(const Weight& weight) {
  if (weight.empty()) return 0;
  if (weight.quantized) return quantized_bytes(*weight.quantized);
  return static_cast<uint64_t>(weight.rows * weight.cols) *
         static_cast<uint64_t>(dtype_bits(weight.dense.dtype) / 8);
}

uint64_t mlp_bytes(const MlpWeights& mlp) {
  return matrix_bytes(mlp.gate) + matrix_bytes(mlp.up) + matrix_bytes(mlp.down);
}

uint64_t row_bytes(const Weight& weight) {
  return weight.empty() ? 0 : matrix_bytes(weight) / static_cast<uint64_t>(weight.rows);
}

}  // namespace

uint64_t weight_bytes_per_token(const TextWeights& weights) {
  uint64_t bytes = matrix_bytes(weights.head()) + matrix_bytes(weights.per_layer_model_projection) +
                   row_bytes(weights.embed_tokens) + row_bytes(weights.embed_tokens_per_layer);
  for (const LayerWeights& layer : weights.layers) {
    for (const Weight* weight :
         {&layer.q_proj, &layer.k_proj, &layer.v_proj, &layer.o_proj, &layer.router.projection,
          &layer.per_layer_input_gate, &layer.per_layer_projection}) {
      bytes += matrix_bytes(*weight);
    }
    bytes += mlp_bytes(layer.mlp);
    if (!layer.experts.empty()) {
      bytes += mlp_bytes(layer.experts[0]) * static_cast<uint64_t>(layer.router.top_k);
    }
  }
  return bytes;
}

uint64_t kv_bytes_per_token(const TextConfig& config, Dtype kv_dtype, int64_t position) {
  uint64_t bytes = 0;
  for (const LayerConfig& layer : config.layers) {
    const int64_t keys = layer.kind == LayerKind::kFull
                             ? position + 1
                             : std::min<int64_t>(position + 1, config.sliding_window);
    const int64_t head_bytes =
        layer.head_dim * dtype_bits(kv_dtype) / 8 + (kv_dtype == Dtype::kI8 ? 4 : 0);
    bytes += 2 * static_cast<uint64_t>(keys * layer.num_kv_heads * head_bytes);
  }
  return bytes;
}

}  // namespace gemma4
