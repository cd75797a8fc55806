// How a model is divided among the ranks of `--tensor-parallel N`: a plan a rank, from the model's
// shape alone. Ranks that compute are not built yet; the command line refuses N > 1.
//
// Query heads, the MLP's width, experts and the head's vocabulary are divided. Keys and values are
// divided by heads as long as there are as many as ranks; when there are fewer, ranks that share a
// head each keep it. Each rank then holds partial sums after o_proj and after the feed-forward
// block: two sums over all ranks a layer. Norms, the router, lookup tables and per-layer inputs are
// whole on every rank.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/model/config.h"

namespace gemma4 {

enum class Division : uint8_t {
  kWhole,    // every rank has all of it
  kRows,     // output features [first, first + count)
  kColumns,  // input features [first, first + count)
  kExperts,  // experts [first, first + count)
};

struct Share {
  Division division = Division::kWhole;
  int64_t first = 0;
  int64_t count = 0;
};

struct LayerShares {
  int32_t first_head = 0;  // query heads of this rank
  int32_t num_heads = 0;
  int32_t first_kv_head = 0;  // key heads that these attend to
  int32_t num_kv_heads = 0;
  Share q_proj, k_proj, v_proj, o_proj;  // k and v: count 0 where the layer borrows them
  Share gate_proj, up_proj, down_proj;
  Share experts;  // count 0: none
};

struct ShardPlan {
  Share lm_head;  // rows of the vocabulary; the lookup in embed_tokens needs the whole table
  std::vector<LayerShares> layers;
};

/// The share of rank `rank` of `ranks`. Throws Error(kUsage) when the model cannot be divided so:
/// heads, experts or widths that do not go up (widths in steps of 32, the groups of int4 scales).
ShardPlan plan_shards(const TextConfig& config, int32_t ranks, int32_t rank);

}  // namespace gemma4
