// An assistant's configuration: the small model that drafts tokens for a larger one to verify
// (model types gemma4_assistant and gemma4_unified_assistant).
//
// Source: spec mtp-diffusion.md, A2 (huggingface/transformers models/gemma4_assistant).
#pragma once

#include "lib/io/json.h"
#include "lib/model/config.h"

namespace gemma4 {

struct DraftConfig {
  /// Its layers only have queries; they read keys and values of the model that it drafts for.
  TextConfig text;
  int32_t backbone_hidden_size = 0;  // hidden size of that model
  int32_t num_centroids = 0;         // clusters of the vocabulary; 0: the head is one dense matrix
  int32_t centroid_top_k = 0;        // clusters whose tokens get logits
};

/// Throws Error(kModel) for another kind of model, and naming the key for an unusable value.
DraftConfig parse_draft_config(const Json& config);

/// Throws Error(kModel), naming the first value that differs, when the assistant was not made for
/// this model. Sets each layer's kv_layer to the target's layer that it reads: the last one of its
/// kind that owns keys and values (A3).
void bind_to_target(DraftConfig& draft, const TextConfig& target);

}  // namespace gemma4
