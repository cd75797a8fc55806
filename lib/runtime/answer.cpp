#include "lib/runtime/answer.h"

#include <algorithm>

namespace gemma4 {

std::string_view finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop:
      return "stop";
    case FinishReason::kLength:
      return "length";
    case FinishReason::kToolCalls:
      return "tool_calls";
    case FinishReason::kInterrupted:
      return "interrupted";
    case FinishReason::kTerminated:
      return "terminated";
  }
  return "stop";
}

Answer::Answer(size_t index, const GenerationRequest& request, const Tokenizer* tokenizer,
               const GenerationCallbacks& callbacks)
    : index_(index),
      request_(request),
      tokenizer_(tokenizer),
      callbacks_(callbacks),
      stop_(request.stop) {
  if (tokenizer == nullptr) return;
  if (request.parse_output) {
    parser_.emplace(*tokenizer, request.parser);
  } else {
    plain_.emplace(*tokenizer);
  }
  if (request.constraint) {
    constraint_.emplace(request.constraint, *tokenizer, request.parser.thinking,
                        request.parser.in_reasoning);
  }
}

std::span<const uint64_t> Answer::allowed() {
  return constraint_ ? constraint_->allowed() : std::span<const uint64_t>{};
}

bool Answer::is_stop(TokenId token) const {
  return !request_.ignore_eos && std::find(request_.stop_ids.begin(), request_.stop_ids.end(),
                                           token) != request_.stop_ids.end();
}

std::vector<TokenId> Answer::possible(std::vector<TokenId> drafts) {
  const auto stop =
      std::find_if(drafts.begin(), drafts.end(), [&](TokenId token) { return is_stop(token); });
  drafts.erase(stop, drafts.end());
  if (!constraint_) return drafts;
  const AnswerConstraint::Position before = constraint_->position();
  size_t count = 0;
  while (count < drafts.size() && constraint_->continues(drafts[count])) {
    constraint_->accept(drafts[count++]);
  }
  constraint_->restore(before);
  drafts.resize(count);
  return drafts;
}

std::vector<std::vector<uint64_t>> Answer::allowed_after(std::span<const TokenId> drafts) {
  std::vector<std::vector<uint64_t>> masks(drafts.size() + 1);
  if (!constraint_) return masks;
  const AnswerConstraint::Position before = constraint_->position();
  for (size_t i = 0; i < masks.size(); ++i) {
    const auto mask = constraint_->allowed();
    masks[i].assign(mask.begin(), mask.end());
    if (i < drafts.size()) constraint_->accept(drafts[i]);
  }
  constraint_->restore(before);
  return masks;
}

std::optional<TokenId> Answer::forced_token() {
  // A forced token has no row of logits to report from.
  if (!constraint_ || ended_ || request_.logprobs) return std::nullopt;
  return constraint_->forced_token();
}

void Answer::push(TokenId token, std::optional<TokenLogprob> logprob, int64_t room) {
  ++result_.completion_tokens;
  if (constraint_) constraint_->accept(token);
  if (is_stop(token)) {
    end(FinishReason::kStop);
    return;
  }
  result_.token_ids.push_back(token);
  if (logprob) result_.logprobs.push_back(std::move(*logprob));
  if (callbacks_.on_token) callbacks_.on_token(index_, token);
  if (parser_) {
    emit(parser_->push(token));
  } else if (plain_) {
    emit_content(plain_->push(token));
  }
  if (stop_.found()) {
    end(FinishReason::kStop);
  } else if (room <= 0 ||
             (request_.max_tokens >= 0 && result_.completion_tokens >= request_.max_tokens)) {
    end(FinishReason::kLength);
  }
}

void Answer::emit(const std::vector<OutputEvent>& events) {
  for (const OutputEvent& event : events) {
    if (stop_.found()) return;
    if (event.kind == OutputEvent::Kind::kContent) {
      emit_content(event.text);
    } else if (callbacks_.on_event) {
      callbacks_.on_event(index_, event);
    }
  }
}

void Answer::emit_content(std::string text) {
  plain_text_ += text;
  std::string sure = stop_.push(text);
  if (!sure.empty() && callbacks_.on_event) {
    callbacks_.on_event(index_, {OutputEvent::Kind::kContent, std::move(sure), {}});
  }
}

void Answer::end(FinishReason reason) {
  if (ended_) return;
  ended_ = true;
  if (constraint_) result_.complete = constraint_->complete();
  if (parser_) {
    emit(parser_->finish());
    result_.output = parser_->result();
    result_.reasoning_tokens = parser_->reasoning_tokens();
  } else if (plain_) {
    emit_content(plain_->finish());
    result_.output.content = plain_text_;
    result_.output.has_content = !plain_text_.empty();
  }
  result_.output.content = std::string(stop_.cut(result_.output.content));
  if (!stop_.found()) {
    std::string rest = stop_.finish();
    if (!rest.empty() && callbacks_.on_event) {
      callbacks_.on_event(index_, {OutputEvent::Kind::kContent, std::move(rest), {}});
    }
  }
  const bool calls = reason == FinishReason::kStop && !result_.output.tool_calls.empty();
  result_.finish_reason = calls ? FinishReason::kToolCalls : reason;
}

}  // namespace gemma4
