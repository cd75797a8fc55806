// One block of a diffusion answer on its way from random tokens to text: the official sampler
// (spec mtp-diffusion.md, B8; huggingface/transformers generation_diffusion_gemma.py).
//
// Knows no model: it says which tokens and which temperature the next pass takes, and is told what
// came of it.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "kernels/canvas.h"
#include "lib/model/config.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Random numbers that depend on what they are for alone, so that an answer does not depend on
/// what else is in the batch.
class CanvasRandom {
 public:
  enum class Purpose : uint64_t { kStart, kCandidate, kRenoise };

  explicit CanvasRandom(uint64_t seed) : seed_(seed) {}

  /// Uniform in [0, 1).
  double uniform(Purpose purpose, int64_t block, int32_t step, int32_t place) const;
  /// Uniform in [0, vocab_size).
  TokenId token(Purpose purpose, int64_t block, int32_t step, int32_t place,
                int32_t vocab_size) const;

 private:
  uint64_t seed_;
};

class Canvas {
 public:
  /// `start`: the tokens of the first pass. `config` outlives the canvas.
  Canvas(const DiffusionConfig& config, std::vector<TokenId> start);

  /// What the next pass takes.
  std::span<const TokenId> tokens() const { return tokens_; }
  float temperature() const;
  /// Steps done so far.
  int32_t steps() const { return steps_; }

  /// What came of a pass, by place. Of the most certain places, as many as the entropy bound allows
  /// take their `candidate`; all others take `noise`. Nothing stays from one step to the next.
  void advance(std::span<const CanvasChoice> choices, std::span<const TokenId> noise);

  /// There is nothing left to do: the block is stable and certain, or the steps are used up.
  bool settled() const { return settled_; }
  /// The likeliest tokens of the last step; once settled, the block.
  std::span<const TokenId> best() const { return best_; }
  /// The places that took their candidate in the last step.
  const std::vector<bool>& accepted() const { return accepted_; }

 private:
  void accept(std::span<const CanvasChoice> choices);
  bool remember_best(std::span<const CanvasChoice> choices);

  const DiffusionConfig& config_;
  std::vector<TokenId> tokens_;
  std::vector<TokenId> best_;
  std::vector<bool> accepted_;
  std::deque<std::vector<TokenId>> history_;  // best tokens of the last steps, the newest last
  int32_t steps_ = 0;
  bool settled_ = false;
};

}  // namespace gemma4
