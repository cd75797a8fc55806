// How far a model's logits are from those of the model that it was made from, on the same texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "lib/runtime/engine.h"

namespace gemma4 {

/// Over all positions. With P the softmax of the first model's logits (after the final softcap)
/// and Q the second's, kl = sum_v P_v (ln P_v - ln Q_v), in nats.
struct LogitComparison {
  int64_t positions = 0;
  double mean_kl = 0.0;
  double median_kl = 0.0;
  double p99_kl = 0.0;
  double largest_kl = 0.0;
  double same_top = 0.0;  // share of positions where both find the same token likeliest
};

/// Divergence of softmax(other) from softmax(logits), both of one length. Not finite when one of
/// them is not.
double logit_divergence(std::span<const float> logits, std::span<const float> other);

/// One model is loaded at a time. The first one's logits wait in a file without a name in `scratch`
/// (4 bytes a position and id of the vocabulary). `progress` counts positions, those of both
/// models, and may throw to end the work. Texts are not empty and fit both contexts.
/// Throws Error(kResource) when `scratch` cannot hold the file, Error(kInput) for an id that the
/// models do not have.
LogitComparison compare_logits(const std::function<std::unique_ptr<Engine>()>& load_first,
                               const std::function<std::unique_ptr<Engine>()>& load_second,
                               std::span<const std::vector<TokenId>> texts,
                               const std::filesystem::path& scratch,
                               const std::function<void(int64_t done, int64_t total)>& progress);

}  // namespace gemma4
