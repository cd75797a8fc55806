// A request of a BatchRunner: a prompt on its way in, then an answer that grows token by token.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/runtime/request_queue.h"

namespace gemma4 {

struct BatchRequest : ActiveRequest {
  using ActiveRequest::ActiveRequest;

  std::vector<TokenId> distinct_prompt;  // for the repetition penalty
  size_t feeding = 0;                    // tokens in the step under way
  /// Once the prompt is done: the token to decode, and those that a grammar forces after it.
  std::vector<TokenId> next;
  std::vector<TokenId> drafts;       // after these, to be verified
  std::vector<TokenId> next_drafts;  // `next` and `drafts` together
  bool decodes = false;              // in the step under way, instead of prefilling
  size_t verified = 0;               // drafts whose keys and values are those of the answer
  size_t accepted = 0;               // drafts that became answer
  bool settled = false;              // the step has given its last token
  int32_t hidden_row = -1;           // of the step's hidden states: it chose that token
  DraftRates rates{};
  Clock::time_point first_token;

  bool prefilling() const { return !feed.done(); }
};

/// Those under way.
using BatchRequests = std::span<const std::unique_ptr<BatchRequest>>;

/// A row of a step whose logits are wanted.
struct LogitRow {
  BatchRequest* active;
  bool samples;         // the next token comes from this row
  int64_t prompt_next;  // index of the prompt token that this row's logits predict; -1: none
  size_t drafts = 0;    // that come before the row's own token
  int32_t hidden = 0;   // the row's place among the hidden states
};

}  // namespace gemma4
