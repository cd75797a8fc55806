#include "lib/runtime/tensor_parallel.h"

#include <algorithm>
#include <string>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

constexpr int64_t kWidthStep = 32;

// An even part of `size` in steps of `step`.
Share part(Division division, int64_t size, int64_t step, int32_t ranks, int32_t rank,
           const char* what) {
  if (size % (step * ranks) != 0) {
    throw Error(ErrorKind::kUsage,
                "the model cannot be divided among " + std::to_string(ranks) + " ranks",
                std::string(what) + " of " + std::to_string(size), "use fewer ranks");
  }
  const int64_t count = size / ranks;
  return {division, count * rank, count};
}

LayerShares plan_layer(const TextConfig& config, const LayerConfig& layer, int32_t ranks,
                       int32_t rank) {
  LayerShares s;
  const Share heads = part(Division::kRows, config.num_heads, 1, ranks, rank, "query heads");
  s.first_head = static_cast<int32_t>(heads.first);
  s.num_heads = static_cast<int32_t>(heads.count);
  const int32_t group = config.num_heads / layer.num_kv_heads;
  const int32_t end_head = s.first_head + s.num_heads;
  if (s.num_heads % group != 0 && group % s.num_heads != 0) {
    throw Error(ErrorKind::kUsage, "the ranks' query heads do not share whole key heads",
                std::to_string(layer.num_kv_heads) + " key heads", "use fewer ranks");
  }
  s.first_kv_head = s.first_head / group;
  s.num_kv_heads = (end_head + group - 1) / group - s.first_kv_head;
  const int64_t d = layer.head_dim;
  s.q_proj = {Division::kRows, s.first_head * d, s.num_heads * d};
  s.o_proj = {Division::kColumns, s.first_head * d, s.num_heads * d};
  if (layer.owns_kv) {
    s.k_proj = {Division::kRows, s.first_kv_head * d, s.num_kv_heads * d};
    if (!layer.k_eq_v) s.v_proj = s.k_proj;
  }
  const Share width =
      part(Division::kRows, layer.intermediate_size, kWidthStep, ranks, rank, "an MLP width");
  s.gate_proj = s.up_proj = width;
  s.down_proj = {Division::kColumns, width.first, width.count};
  if (config.num_experts > 0) {
    s.experts = part(Division::kExperts, config.num_experts, 1, ranks, rank, "experts");
  }
  return s;
}

}  // namespace

ShardPlan plan_shards(const TextConfig& config, int32_t ranks, int32_t rank) {
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    throw Error(ErrorKind::kUsage, "no such rank",
                std::to_string(rank) + " of " + std::to_string(ranks));
  }
  ShardPlan plan;
  plan.lm_head = part(Division::kRows, config.vocab_size, 1, ranks, rank, "a vocabulary");
  for (const LayerConfig& layer : config.layers) {
    plan.layers.push_back(plan_layer(config, layer, ranks, rank));
  }
  return plan;
}

}  // namespace gemma4
