// How much a model asks of a machine, from its shape alone: products, operations, bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/io/checkpoint.h"
#include "lib/model/config.h"
#include "lib/model/weight_choice.h"
#include "lib/runtime/engine.h"

namespace gemma4 {

/// The config of the checkpoint or the preset that `options` name. Throws Error(kModel).
ModelConfig read_model_shape(const EngineOptions& options);

/// The linear maps of one name and shape, [rows, cols] each.
struct LinearOp {
  std::string name;  // the checkpoint's module name without its layer: "mlp.gate_proj"
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stored = 0;     // how many the model has
  int64_t per_token = 0;  // how many of them an answer token passes
};

/// Every linear map of the decoder, the head last, whether it is tied or not.
std::vector<LinearOp> linear_ops(const TextConfig& config);

/// Operations (a product and a sum are two) of the products and the attention that prefilling
/// positions [depth, depth + tokens) runs: the last token passes the whole model and the head,
/// those before it only the layers that store keys and values for others to read (spec 5.3).
double prefill_operations(const TextConfig& config, int64_t depth, int64_t tokens);

/// Bytes of a checkpoint's tensors after conversion: the decoder's matrices in the chosen formats,
/// where convert_weight changes them, and all the rest as stored. The lookup table per layer counts
/// only where it is copied: mapped, it stays in the file, and a token reads one row of it.
uint64_t converted_bytes(const Checkpoint& checkpoint, const TextConfig& config,
                         const WeightChoice& choice, bool copied);

/// Bytes that a model of random bf16 weights (RandomTensors) takes after conversion. Its lookup
/// table per layer stays untouched.
uint64_t random_weight_bytes(const ModelConfig& config, const WeightChoice& choice);

}  // namespace gemma4
