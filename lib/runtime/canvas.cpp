#include "lib/runtime/canvas.h"

#include <algorithm>
#include <numeric>

namespace gemma4 {
namespace {

// SplitMix64's finaliser (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
// OOPSLA 2014).
uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

double CanvasRandom::uniform(Purpose purpose, int64_t block, int32_t step, int32_t place) const {
  uint64_t z = seed_;
  for (const uint64_t part : {static_cast<uint64_t>(purpose), static_cast<uint64_t>(block),
                              static_cast<uint64_t>(step), static_cast<uint64_t>(place)}) {
    z = mix(z + (part + 1) * 0x9E3779B97F4A7C15u);
  }
  return static_cast<double>(z >> 11) * 0x1p-53;
}

TokenId CanvasRandom::token(Purpose purpose, int64_t block, int32_t step, int32_t place,
                            int32_t vocab_size) const {
  return static_cast<TokenId>(uniform(purpose, block, step, place) * vocab_size);
}

Canvas::Canvas(const DiffusionConfig& config, std::vector<TokenId> start)
    : config_(config), tokens_(std::move(start)), accepted_(tokens_.size(), false) {}

// The steps count down, so that the first has t_max and none has t_min.
float Canvas::temperature() const {
  if (!config_.has_temperature) return 1.0f;
  const double left = config_.max_denoising_steps - steps_;
  return static_cast<float>(config_.t_min +
                            (config_.t_max - config_.t_min) * left / config_.max_denoising_steps);
}

void Canvas::advance(std::span<const CanvasChoice> choices, std::span<const TokenId> noise) {
  accept(choices);
  double entropy = 0.0;
  for (size_t i = 0; i < choices.size(); ++i) {
    tokens_[i] = accepted_[i] ? choices[i].candidate : noise[i];
    entropy += choices[i].entropy;
  }
  ++steps_;
  const bool stable = remember_best(choices);
  // In float32, as the official comparison is.
  const bool confident = static_cast<float>(entropy / static_cast<double>(choices.size())) <
                         static_cast<float>(config_.confidence_threshold);
  settled_ = steps_ == config_.max_denoising_steps || (config_.stops_early && stable && confident);
}

// By rising entropy, the places whose predecessors stay within the bound together. The first has
// none, and is always taken.
void Canvas::accept(std::span<const CanvasChoice> choices) {
  std::vector<size_t> order(choices.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return choices[a].entropy < choices[b].entropy; });
  accepted_.assign(choices.size(), false);
  double before = 0.0;
  for (const size_t place : order) {
    if (before > config_.entropy_bound) break;
    accepted_[place] = true;
    before += choices[place].entropy;
  }
}

// Whether the best tokens are those of the last stability_threshold steps.
bool Canvas::remember_best(std::span<const CanvasChoice> choices) {
  best_.clear();
  for (const CanvasChoice& choice : choices) best_.push_back(choice.best);
  const auto wanted = static_cast<size_t>(config_.stability_threshold);
  const bool stable = history_.size() == wanted &&
                      std::all_of(history_.begin(), history_.end(),
                                  [&](const std::vector<TokenId>& old) { return old == best_; });
  history_.push_back(best_);
  if (history_.size() > wanted) history_.pop_front();
  return stable;
}

}  // namespace gemma4
