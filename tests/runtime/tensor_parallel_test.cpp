#include "lib/runtime/tensor_parallel.h"

#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/io/json.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

TextConfig preset(const std::string& name) {
  return parse_model_config(
             read_json_file(source_dir() / "share/models" / (name + ".json"), ErrorKind::kModel),
             Json::object())
      .text;
}

// Each of [0, size) is in exactly one rank's share.
void check_partition(const std::vector<Share>& shares, Division division, int64_t size) {
  int64_t next = 0;
  for (const Share& share : shares) {
    CHECK(share.division == division);
    CHECK(share.first == next);
    next += share.count;
  }
  CHECK(next == size);
}

}  // namespace

TEST_CASE("the shares of all ranks make up every matrix of every model") {
  for (const char* name : {"e2b", "e4b", "12b", "26b-a4b", "31b"}) {
    const TextConfig config = preset(name);
    for (const int32_t ranks : {1, 2, 4, 8}) {
      CAPTURE(name);
      CAPTURE(ranks);
      std::vector<ShardPlan> plans;
      if (config.num_heads % ranks != 0 || config.layers[0].intermediate_size % (32 * ranks) != 0) {
        CHECK_THROWS_AS(plan_shards(config, ranks, 0), Error);
        continue;
      }
      for (int32_t rank = 0; rank < ranks; ++rank) {
        plans.push_back(plan_shards(config, ranks, rank));
      }
      const auto all = [&](const auto& share_of) {
        std::vector<Share> shares;
        for (const ShardPlan& plan : plans) shares.push_back(share_of(plan));
        return shares;
      };
      check_partition(all([](const ShardPlan& p) { return p.lm_head; }), Division::kRows,
                      config.vocab_size);
      for (size_t l = 0; l < config.layers.size(); ++l) {
        const LayerConfig& layer = config.layers[l];
        const auto of = [&](Share LayerShares::*weight) {
          return all([&](const ShardPlan& p) { return p.layers[l].*weight; });
        };
        const int64_t heads = int64_t{config.num_heads} * layer.head_dim;
        check_partition(of(&LayerShares::q_proj), Division::kRows, heads);
        check_partition(of(&LayerShares::o_proj), Division::kColumns, heads);
        check_partition(of(&LayerShares::gate_proj), Division::kRows, layer.intermediate_size);
        check_partition(of(&LayerShares::up_proj), Division::kRows, layer.intermediate_size);
        check_partition(of(&LayerShares::down_proj), Division::kColumns, layer.intermediate_size);
        if (config.num_experts > 0) {
          check_partition(of(&LayerShares::experts), Division::kExperts, config.num_experts);
        }
        const int32_t group = config.num_heads / layer.num_kv_heads;
        for (const ShardPlan& plan : plans) {
          const LayerShares& s = plan.layers[l];
          // Every query head finds its key head on its own rank.
          for (int32_t h = s.first_head; h < s.first_head + s.num_heads; ++h) {
            CHECK(h / group >= s.first_kv_head);
            CHECK(h / group < s.first_kv_head + s.num_kv_heads);
          }
          // Heads are kept once where there are enough of them, else one a rank.
          CHECK(s.num_kv_heads == std::max(1, layer.num_kv_heads / ranks));
          CHECK(s.k_proj.count == (layer.owns_kv ? int64_t{s.num_kv_heads} * layer.head_dim : 0));
          CHECK(s.v_proj.count == (layer.k_eq_v ? 0 : s.k_proj.count));
        }
      }
    }
  }
}

TEST_CASE("ranks that a model cannot be divided among are refused") {
  const TextConfig config = preset("e2b");
  CHECK_THROWS_AS(plan_shards(config, 3, 0), Error);
  CHECK_THROWS_AS(plan_shards(config, 2, 2), Error);
  CHECK_THROWS_AS(plan_shards(config, 0, 0), Error);
}

}  // namespace gemma4
