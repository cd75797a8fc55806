// Where drafted tokens come from: tokens that may follow, for the model to verify in one step.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Most tokens that are drafted for one answer at a time.
inline constexpr int64_t kMaxDraftTokens = 8;

/// One answer that wants drafts.
struct DraftTask {
  int32_t sequence = 0;  // of the KV cache
  std::span<const TokenId> prompt;
  std::span<const TokenId> answer;  // so far, the newest token last; never empty
  int64_t stored = 0;  // of both, positions whose keys and values are stored: less than all
  /// Row of `hidden` that chose the newest token; -1: it was not chosen by the model.
  int32_t hidden_row = -1;
  int64_t count = 0;            // most tokens wanted
  std::vector<TokenId> tokens;  // the result: at most `count`, may be none
};

class DraftSource {
 public:
  virtual ~DraftSource() = default;
  /// Fills in `tokens` of every task. `hidden`: final hidden states of the step that just ran.
  virtual void draft(std::span<DraftTask> tasks, Matrix hidden) = 0;
};

}  // namespace gemma4
