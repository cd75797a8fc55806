#include "lib/runtime/answer_constraint.h"

namespace gemma4 {

AnswerConstraint::AnswerConstraint(std::shared_ptr<TokenConstraint> grammar,
                                   const Tokenizer& tokenizer, bool may_think, bool in_reasoning)
    : grammar_(std::move(grammar)),
      open_channel_(tokenizer.control_id("<|channel>")),
      close_channel_(tokenizer.control_id("<channel|>")),
      phase_(Phase::kGrammar),
      mask_(grammar_->mask_words()) {
  if (in_reasoning && close_channel_) {
    phase_ = Phase::kReasoning;
  } else if (may_think && open_channel_ && close_channel_) {
    phase_ = Phase::kStart;
  }
}

std::span<const uint64_t> AnswerConstraint::allowed() {
  if (phase_ == Phase::kReasoning) return {};
  grammar_->fill_mask(mask_);
  if (phase_ == Phase::kStart) {
    const auto id = static_cast<size_t>(*open_channel_);
    mask_[id / 64] |= uint64_t{1} << (id % 64);
  }
  return mask_;
}

void AnswerConstraint::accept(TokenId token) {
  if (phase_ == Phase::kReasoning) {
    if (token == *close_channel_) phase_ = Phase::kGrammar;
    return;
  }
  if (phase_ == Phase::kStart && token == *open_channel_) {
    phase_ = Phase::kReasoning;
    return;
  }
  phase_ = Phase::kGrammar;
  grammar_->accept(token);
}

bool AnswerConstraint::continues(TokenId token) {
  if (phase_ == Phase::kReasoning) return true;
  if (phase_ == Phase::kStart && token == *open_channel_) return true;
  if (!grammar_->allows(token)) return false;
  const TokenConstraint::Position before = grammar_->position();
  grammar_->accept(token);
  const bool ended = grammar_->ended();
  grammar_->restore(before);
  return !ended;
}

std::optional<TokenId> AnswerConstraint::forced_token() {
  return phase_ == Phase::kGrammar ? grammar_->forced_token() : std::nullopt;
}

}  // namespace gemma4
