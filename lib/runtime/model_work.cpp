#include "lib/runtime/model_work.h"

#include <algorithm>
#include <cstring>

#include "lib/quant/text_modules.h"

namespace gemma4 {
namespace {

// Appends, or counts one more of a map that is there already.
void add(std::vector<LinearOp>& ops, const std::string& name, int64_t rows, int64_t cols,
         int64_t stored = 1, int64_t per_token = 1) {
  for (LinearOp& op : ops) {
    if (op.name != name || op.rows != rows || op.cols != cols) continue;
    op.stored += stored;
    op.per_token += per_token;
    return;
  }
  ops.push_back({name, rows, cols, stored, per_token});
}

void add_keys_values(std::vector<LinearOp>& ops, const TextConfig& config,
                     const LayerConfig& layer) {
  if (!layer.owns_kv) return;
  const int64_t width = int64_t{layer.num_kv_heads} * layer.head_dim;
  add(ops, "self_attn.k_proj", width, config.hidden_size);
  if (!layer.k_eq_v) add(ops, "self_attn.v_proj", width, config.hidden_size);
}

void add_layer(std::vector<LinearOp>& ops, const TextConfig& config, const LayerConfig& layer) {
  const int64_t hidden = config.hidden_size;
  const int64_t width = int64_t{config.num_heads} * layer.head_dim;
  add(ops, "self_attn.q_proj", width, hidden);
  add_keys_values(ops, config, layer);
  add(ops, "self_attn.o_proj", hidden, width);
  add(ops, "mlp.gate_proj", layer.intermediate_size, hidden);
  add(ops, "mlp.up_proj", layer.intermediate_size, hidden);
  add(ops, "mlp.down_proj", hidden, layer.intermediate_size);
  if (config.num_experts > 0) {
    const int64_t all = config.num_experts;
    const int64_t used = config.experts_per_token;
    add(ops, "router.proj", all, hidden);
    add(ops, "experts.gate_proj", config.expert_intermediate_size, hidden, all, used);
    add(ops, "experts.up_proj", config.expert_intermediate_size, hidden, all, used);
    add(ops, "experts.down_proj", hidden, config.expert_intermediate_size, all, used);
  }
  if (config.per_layer_width > 0) {
    add(ops, "per_layer_input_gate", config.per_layer_width, hidden);
    add(ops, "per_layer_projection", hidden, config.per_layer_width);
  }
}

double weights_per_token(const std::vector<LinearOp>& ops) {
  double weights = 0.0;
  for (const LinearOp& op : ops) {
    weights += static_cast<double>(op.rows * op.cols) * static_cast<double>(op.per_token);
  }
  return weights;
}

// Scores and their sum over values, two operations a key and dimension each.
double attention_operations(const TextConfig& config, int32_t layers, int64_t position) {
  double operations = 0.0;
  for (int32_t l = 0; l < layers; ++l) {
    const LayerConfig& layer = config.layers[static_cast<size_t>(l)];
    const int64_t keys = layer.kind == LayerKind::kFull
                             ? position + 1
                             : std::min<int64_t>(position + 1, config.sliding_window);
    operations += 4.0 * static_cast<double>(keys) * config.num_heads * layer.head_dim;
  }
  return operations;
}

double format_bytes(WeightFormat format) {
  switch (format) {
    case WeightFormat::kInt8:
      return 1.0;
    case WeightFormat::kInt4:
      return 0.5 + 2.0 / 32;  // a bf16 scale for 32 codes
    case WeightFormat::kStored:
    case WeightFormat::kBf16:
      break;
  }
  return 2.0;
}

// Weights of a quantised matrix, from the shape that is stored beside its codes.
double packed_weights(const Checkpoint& checkpoint, const std::string& module) {
  const Tensor* shape = checkpoint.find(module + ".weight_shape");
  if (shape == nullptr || shape->dtype != Dtype::kI64 || shape->elements() != 2) return 0.0;
  int64_t sizes[2];
  std::memcpy(sizes, shape->data, sizeof(sizes));
  return static_cast<double>(sizes[0]) * static_cast<double>(sizes[1]);
}

// Bytes that a tensor takes after its matrix was converted to `format`; see convert_weight.
double converted_tensor_bytes(const Checkpoint& checkpoint, const std::string& name,
                              WeightFormat format) {
  const Tensor& tensor = *checkpoint.find(name);
  const auto stored = static_cast<double>(tensor.bytes());
  const auto weights = static_cast<double>(tensor.elements());
  if (format == WeightFormat::kStored) return stored;
  const std::string module = name.substr(0, name.rfind('.'));
  const bool decoder = name.starts_with("lm_head.") || text_module_of(module + ".weight") ||
                       text_module_of(name) || name.find(".experts.") != std::string::npos;
  if (!decoder) return stored;
  const bool dense =
      tensor.dtype == Dtype::kBf16 || tensor.dtype == Dtype::kF16 || tensor.dtype == Dtype::kF32;
  if (dense && !name.ends_with("_scale")) return weights * format_bytes(format);
  if (format != WeightFormat::kBf16) return stored;  // what is quantised stays
  if (name.ends_with(".weight_packed")) return 2.0 * packed_weights(checkpoint, module);
  if (name.ends_with(".weight") && tensor.dtype == Dtype::kI8) return 2.0 * weights;
  return stored;
}

}  // namespace

ModelConfig read_model_shape(const EngineOptions& options) {
  const std::filesystem::path file =
      options.dummy_preset.empty() ? options.directory / "config.json" : options.dummy_preset;
  return parse_model_config(read_json_file(file, ErrorKind::kModel), Json::object());
}

std::vector<LinearOp> linear_ops(const TextConfig& config) {
  std::vector<LinearOp> ops;
  for (const LayerConfig& layer : config.layers) add_layer(ops, config, layer);
  if (config.per_layer_width > 0) {
    add(ops, "per_layer_model_projection", int64_t{config.per_layer_width} * config.num_layers(),
        config.hidden_size);
  }
  add(ops, "lm_head", config.vocab_size, config.hidden_size);
  return ops;
}

double prefill_operations(const TextConfig& config, int64_t depth, int64_t tokens) {
  const int32_t last = config.last_kv_layer();
  std::vector<LinearOp> lower;
  for (int32_t l = 0; l < last; ++l) {
    add_layer(lower, config, config.layers[static_cast<size_t>(l)]);
  }
  add_keys_values(lower, config, config.layers[static_cast<size_t>(last)]);
  if (config.per_layer_width > 0) {
    add(lower, "per_layer_model_projection", int64_t{config.per_layer_width} * (last + 1),
        config.hidden_size);
  }
  double operations = 2.0 * weights_per_token(lower) * static_cast<double>(tokens - 1) +
                      2.0 * weights_per_token(linear_ops(config)) +
                      attention_operations(config, config.num_layers(), depth + tokens - 1);
  for (int64_t i = 0; i + 1 < tokens; ++i) {
    operations += attention_operations(config, last, depth + i);
  }
  return operations;
}

uint64_t converted_bytes(const Checkpoint& checkpoint, const TextConfig& config,
                         const WeightChoice& choice, bool copied) {
  double bytes = 0.0;
  bool own_head = false;
  for (const std::string& name : checkpoint.names()) {
    if (!copied && name.find(".embed_tokens_per_layer.") != std::string::npos) continue;
    const bool head = name.starts_with("lm_head.");
    own_head = own_head || head;
    bytes += converted_tensor_bytes(checkpoint, name, head ? choice.lm_head : choice.linears);
  }
  if (!own_head && choice.lm_head != WeightFormat::kStored) {  // beside the tied table
    bytes += static_cast<double>(config.vocab_size) * static_cast<double>(config.hidden_size) *
             format_bytes(choice.lm_head);
  }
  return static_cast<uint64_t>(bytes);
}

uint64_t random_weight_bytes(const ModelConfig& config, const WeightChoice& choice) {
  const TextConfig& text = config.text;
  double bytes = 2.0 * static_cast<double>(text.vocab_size) * static_cast<double>(text.hidden_size);
  if (config.diffusion) {
    bytes += 3.0 * format_bytes(choice.linears) * config.diffusion->self_conditioning_size *
             text.hidden_size;
  }
  for (const LinearOp& op : linear_ops(text)) {
    const auto weights = static_cast<double>(op.rows * op.cols * op.stored);
    if (op.name != "lm_head") {
      bytes +=
          weights * format_bytes(op.name == "router.proj" ? WeightFormat::kStored : choice.linears);
    } else if (choice.lm_head != WeightFormat::kStored) {
      bytes += weights * format_bytes(choice.lm_head);
    }
  }
  return static_cast<uint64_t>(bytes);
}

}  // namespace gemma4
