// One answer as it grows: tokens in, parsed events out, and the reason why it ends.
#pragma once

#include <optional>
#include <span>

#include "lib/runtime/answer_constraint.h"
#include "lib/runtime/generation.h"
#include "lib/runtime/stop_matcher.h"

namespace gemma4 {

class Answer {
 public:
  /// `tokenizer` may be null: then there are no texts, only ids.
  Answer(size_t index, const GenerationRequest& request, const Tokenizer* tokenizer,
         const GenerationCallbacks& callbacks);

  /// Takes the next token; `room` is how many more positions the context has after it.
  /// When it ends the answer, finish_reason() is set.
  void push(TokenId token, std::optional<TokenLogprob> logprob, int64_t room);
  /// Ends the answer for a reason from outside.
  void end(FinishReason reason);

  bool ended() const { return ended_; }
  /// The mask for the next token (SampleRow::allowed); empty: every token is allowed.
  std::span<const uint64_t> allowed();
  /// Drafted tokens that may follow, up to the first that ends the answer or that its grammar
  /// forbids.
  std::vector<TokenId> possible(std::vector<TokenId> drafts);
  /// Masks for the tokens after 0, 1, ... of `drafts`, which are possible; empty: all are allowed.
  std::vector<std::vector<uint64_t>> allowed_after(std::span<const TokenId> drafts);
  /// The one token that must follow, if that is known without the model.
  std::optional<TokenId> forced_token();
  /// Ids so far that count for penalties and logprobs.
  std::span<const TokenId> ids() const { return result_.token_ids; }
  GenerationResult& result() { return result_; }

 private:
  bool is_stop(TokenId token) const;
  void emit(const std::vector<OutputEvent>& events);
  void emit_content(std::string text);

  size_t index_;
  const GenerationRequest& request_;
  const Tokenizer* tokenizer_;
  const GenerationCallbacks& callbacks_;
  std::optional<OutputParser> parser_;
  std::optional<StreamDecoder> plain_;
  std::string plain_text_;
  std::optional<AnswerConstraint> constraint_;
  StopMatcher stop_;
  GenerationResult result_;
  bool ended_ = false;
};

}  // namespace gemma4
