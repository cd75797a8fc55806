// The static scales of fp8 keys and values that a checkpoint may bring (spec checkpoints-quant.md,
// 6.1).
#pragma once

#include <vector>

#include "lib/io/checkpoint.h"
#include "lib/model/config.h"

namespace gemma4 {

/// A key is its code times `key`.
struct KvScales {
  float key = 1.0f;
  float value = 1.0f;
};

/// One entry a layer; 1 where the checkpoint has none, and for layers that borrow. Of each layer
/// the first that is there counts: self_attn.k_scale, self_attn.k_proj.k_scale,
/// self_attn.k_cache.scale (and v), self_attn.kv_scale for both. Throws Error(kModel) for a scale
/// that is no positive number, or that differs from head to head.
std::vector<KvScales> load_kv_scales(const Checkpoint& checkpoint, const TextConfig& config);

}  // namespace gemma4
