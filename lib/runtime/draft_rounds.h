// The rounds of speculative decoding: after a step the drafts in it are judged, and the next ones
// are made.
#pragma once

#include "lib/runtime/batch_request.h"

namespace gemma4 {

class DraftRounds {
 public:
  /// `context`, which has a speculation, outlives it.
  explicit DraftRounds(const RunnerContext& context) : context_(context) {}

  /// Takes back the keys and values of rejected drafts, and learns from what became of them.
  /// `prefilled`: the step had prompts in it as well. `step_ms`: how long it took.
  void judge(BatchRequests requests, bool prefilled, double step_ms);

  /// Drafts for the next step, from the hidden states of this one.
  void draft(BatchRequests requests, Matrix hidden);

 private:
  int64_t most_drafts(BatchRequest& active) const;

  const RunnerContext& context_;
  double draft_ms_ = 0.0;  // of the drafts that the next step verifies
};

}  // namespace gemma4
