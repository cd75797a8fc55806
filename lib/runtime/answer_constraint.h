// When a grammar holds during an answer: never inside the thinking channel, always after it
// (spec tokenizer-chat.md, 8.2).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lib/text/grammar/token_mask.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

class AnswerConstraint {
 public:
  /// `may_think`: thinking was asked for, so that the answer may begin with an open channel.
  /// `in_reasoning`: the prompt ends inside one.
  AnswerConstraint(std::shared_ptr<TokenConstraint> grammar, const Tokenizer& tokenizer,
                   bool may_think, bool in_reasoning);

  /// The mask for the next token; empty: every token is allowed. Valid until the next call.
  std::span<const uint64_t> allowed();
  /// The answer goes on with `token`.
  void accept(TokenId token);
  /// Whether the answer may go on with `token`, other than by ending.
  bool continues(TokenId token);
  /// The only token that may follow, when the grammar holds and there is only one.
  std::optional<TokenId> forced_token();
  /// The answer so far fits the grammar as it is.
  bool complete() const { return phase_ == Phase::kGrammar && grammar_->can_end(); }

  enum class Phase { kStart, kReasoning, kGrammar };
  /// A place to come back to when drafted tokens are rejected.
  struct Position {
    Phase phase;
    TokenConstraint::Position grammar;
  };
  Position position() const { return {phase_, grammar_->position()}; }
  void restore(const Position& position) {
    phase_ = position.phase;
    grammar_->restore(position.grammar);
  }

 private:
  std::shared_ptr<TokenConstraint> grammar_;
  std::optional<TokenId> open_channel_;
  std::optional<TokenId> close_channel_;
  Phase phase_;
  std::vector<uint64_t> mask_;
};

}  // namespace gemma4
