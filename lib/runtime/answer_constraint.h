// When a grammar holds during an answer: never inside the thinking channel, always after it
// (spec tokenizer-chat.md, 8.2); and inside a tool call that of the declared tools (8.3).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "lib/text/grammar/grammar.h"
#include "lib/text/grammar/token_mask.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// The tool calls that an answer may or must hold (spec tokenizer-chat.md, 8.3); shared by all
/// answers with the same tools, on one thread.
class ToolCallRules {
 public:
  /// `grammar`: of tool_call_grammar. `required`: the answer is one call or more, and nothing else;
  /// `single`: exactly one. `stop_ids` end an answer behind its calls. The tokenizer must outlive
  /// the rules. Throws Error(kModel) when calls are required of a model that has no tokens for
  /// them.
  ToolCallRules(std::shared_ptr<const Grammar> grammar, bool required, bool single,
                std::vector<TokenId> stop_ids, const Tokenizer& tokenizer);

  bool required() const { return required_; }
  bool single() const { return single_; }
  /// <|tool_call>; nullopt: the model has no such token, and never calls.
  std::optional<TokenId> open_call() const { return open_call_; }
  std::span<const TokenId> stop_ids() const { return stop_ids_; }
  /// What follows an open call. The vocabulary is prepared at the first one.
  TokenConstraint call();

 private:
  std::shared_ptr<const Grammar> grammar_;
  bool required_;
  bool single_;
  std::vector<TokenId> stop_ids_;
  const Tokenizer& tokenizer_;
  std::optional<TokenId> open_call_;
  std::shared_ptr<GrammarMasks> masks_;
};

class AnswerConstraint {
 public:
  /// `grammar`: of the text; null: any. `tools`: null: calls are text like any other.
  /// `may_think`: thinking was asked for, so that the answer may begin with an open channel.
  /// `in_reasoning`: the prompt ends inside one.
  AnswerConstraint(std::shared_ptr<TokenConstraint> grammar, std::shared_ptr<ToolCallRules> tools,
                   const Tokenizer& tokenizer, bool may_think, bool in_reasoning);

  /// The mask for the next token; empty: every token is allowed. Valid until the next call.
  std::span<const uint64_t> allowed();
  /// The answer goes on with `token`.
  void accept(TokenId token);
  /// Whether the answer may go on with `token`, other than by ending.
  bool continues(TokenId token);
  /// The only token that may follow, if there is only one.
  std::optional<TokenId> forced_token();
  /// Whether the answer is as it was asked for; nothing where nothing was asked for, unless it
  /// breaks off inside a call.
  std::optional<bool> complete() const;

  enum class Phase { kStart, kReasoning, kText, kCall, kAfterCall };
  /// A place to come back to when drafted tokens are rejected.
  struct Position {
    Phase phase;
    bool text_begun;
    std::optional<TokenConstraint::Position> text;
    std::optional<TokenConstraint::Position> call;
  };
  Position position() const;
  void restore(const Position& position);

 private:
  bool may_open_call() const;
  bool is_open_call(TokenId token) const { return tools_ && token == tools_->open_call(); }
  void begin_call();
  void allow(TokenId token);
  std::span<const uint64_t> only_these();

  std::shared_ptr<TokenConstraint> grammar_;
  std::shared_ptr<ToolCallRules> tools_;
  std::optional<TokenId> open_channel_;
  std::optional<TokenId> close_channel_;
  Phase phase_ = Phase::kText;
  bool text_begun_ = false;  // a token of the text was accepted
  std::optional<TokenConstraint> call_;
  std::vector<uint64_t> mask_;
};

}  // namespace gemma4
