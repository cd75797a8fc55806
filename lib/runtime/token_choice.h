// From the hidden states of a step to tokens: logits, their probabilities where they are asked for,
// sampling, and what the tokens make of the answers and their drafts.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lib/runtime/batch_request.h"

namespace gemma4 {

class TokenChoice {
 public:
  /// `context` outlives it.
  explicit TokenChoice(const RunnerContext& context);

  /// hidden: a row for each of `rows`.
  void use(Matrix hidden, std::span<const LogitRow> rows);

 private:
  void use_logits(Matrix logits, std::span<const LogitRow> rows);
  void score(const LogitRow& row, const float* logits);
  void sample(Matrix logits, std::span<const LogitRow> rows);
  void take(const LogitRow& row, TokenId token, const float* logits);

  const RunnerContext& context_;
  std::unique_ptr<Buffer> logits_;
  std::vector<float> host_row_;
};

}  // namespace gemma4
