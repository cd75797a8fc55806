#include "lib/runtime/answer_constraint.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/text/grammar/tool_call_grammar.h"

namespace gemma4 {

ToolCallRules::ToolCallRules(std::shared_ptr<const Grammar> grammar, bool required, bool single,
                             std::vector<TokenId> stop_ids, const Tokenizer& tokenizer)
    : grammar_(std::move(grammar)),
      required_(required),
      single_(single),
      stop_ids_(std::move(stop_ids)),
      tokenizer_(tokenizer),
      open_call_(tokenizer.control_id("<|tool_call>")) {
  if (required_ && !open_call_) {
    throw Error(ErrorKind::kModel, "the tokenizer has no tool call tokens", {},
                "this checkpoint cannot call tools");
  }
}

TokenConstraint ToolCallRules::call() {
  if (masks_ == nullptr) {
    masks_ = std::make_shared<GrammarMasks>(
        std::make_shared<const TokenTrie>(tool_call_trie(tokenizer_)), grammar_);
  }
  return TokenConstraint(masks_, {});
}

AnswerConstraint::AnswerConstraint(std::shared_ptr<TokenConstraint> grammar,
                                   std::shared_ptr<ToolCallRules> tools, const Tokenizer& tokenizer,
                                   bool may_think, bool in_reasoning)
    : grammar_(std::move(grammar)),
      tools_(std::move(tools)),
      open_channel_(tokenizer.control_id("<|channel>")),
      close_channel_(tokenizer.control_id("<channel|>")),
      mask_((static_cast<size_t>(tokenizer.vocab_size()) + 63) / 64) {
  if (in_reasoning && close_channel_) {
    phase_ = Phase::kReasoning;
  } else if (may_think && open_channel_ && close_channel_) {
    phase_ = Phase::kStart;
  }
}

void AnswerConstraint::allow(TokenId token) {
  mask_[static_cast<size_t>(token) / 64] |= uint64_t{1} << (static_cast<size_t>(token) % 64);
}

// Instead of the text, or after another call.
bool AnswerConstraint::may_open_call() const {
  if (!tools_ || !tools_->open_call()) return false;
  return phase_ == Phase::kAfterCall ? !tools_->single() : !text_begun_;
}

std::span<const uint64_t> AnswerConstraint::only_these() {
  const bool after_call = phase_ == Phase::kAfterCall;
  const bool text = !after_call && !(tools_ && tools_->required());
  if (text) {
    grammar_->fill_mask(mask_);
  } else {
    std::fill(mask_.begin(), mask_.end(), 0);
  }
  if (may_open_call()) allow(*tools_->open_call());
  if (phase_ == Phase::kStart) allow(*open_channel_);
  if (after_call) {
    for (const TokenId id : tools_->stop_ids()) allow(id);
  }
  return mask_;
}

std::span<const uint64_t> AnswerConstraint::allowed() {
  if (phase_ == Phase::kReasoning) return {};
  if (phase_ == Phase::kCall) {
    call_->fill_mask(mask_);
    return mask_;
  }
  const bool anything = !grammar_ && !(tools_ && tools_->required());
  return anything ? std::span<const uint64_t>{} : only_these();
}

void AnswerConstraint::begin_call() {
  phase_ = Phase::kCall;
  call_.emplace(tools_->call());
}

void AnswerConstraint::accept(TokenId token) {
  switch (phase_) {
    case Phase::kReasoning:
      if (token == close_channel_) phase_ = Phase::kText;
      if (is_open_call(token)) begin_call();
      return;
    case Phase::kCall:
      call_->accept(token);
      if (call_->can_end()) phase_ = Phase::kAfterCall;
      return;
    case Phase::kAfterCall:
      if (is_open_call(token)) begin_call();
      return;
    case Phase::kStart:
      phase_ = Phase::kText;
      if (token == open_channel_) {
        phase_ = Phase::kReasoning;
        return;
      }
      [[fallthrough]];
    case Phase::kText:
      if (is_open_call(token) && (!grammar_ || may_open_call())) {
        begin_call();
        return;
      }
      text_begun_ = true;
      if (grammar_) grammar_->accept(token);
  }
}

bool AnswerConstraint::continues(TokenId token) {
  const auto mask = allowed();
  if (mask.empty()) return true;
  const auto id = static_cast<size_t>(token);
  if ((mask[id / 64] >> (id % 64) & 1) == 0) return false;
  const Position before = position();
  accept(token);
  const bool stop = phase_ == Phase::kAfterCall && before.phase == Phase::kAfterCall;
  const bool ended = stop || (phase_ == Phase::kText && grammar_ && grammar_->ended());
  restore(before);
  return !ended;
}

std::optional<TokenId> AnswerConstraint::forced_token() {
  if (phase_ == Phase::kCall) return call_->forced_token();
  if (phase_ != Phase::kText) return std::nullopt;
  if (tools_ && tools_->required()) return tools_->open_call();
  return grammar_ && !may_open_call() ? grammar_->forced_token() : std::nullopt;
}

std::optional<bool> AnswerConstraint::complete() const {
  if (phase_ == Phase::kCall) return false;
  if (phase_ == Phase::kAfterCall) {
    if (grammar_ || tools_->required()) return true;
    return std::nullopt;
  }
  if (tools_ && tools_->required()) return false;
  if (!grammar_) return std::nullopt;
  return phase_ == Phase::kText && grammar_->can_end();
}

AnswerConstraint::Position AnswerConstraint::position() const {
  Position position{phase_, text_begun_, {}, {}};
  if (grammar_) position.text = grammar_->position();
  if (call_) position.call = call_->position();
  return position;
}

void AnswerConstraint::restore(const Position& position) {
  phase_ = position.phase;
  text_begun_ = position.text_begun;
  if (grammar_) grammar_->restore(*position.text);
  if (position.call) {
    if (!call_) call_.emplace(tools_->call());
    call_->restore(*position.call);
  }
}

}  // namespace gemma4
