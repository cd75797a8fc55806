// Prompt look-up: what followed the last few tokens where they came before. It needs no second
// model, and pays where an answer repeats its prompt (edits, summaries, code).
#pragma once

#include "lib/runtime/draft_source.h"

namespace gemma4 {

class NgramDraft : public DraftSource {
 public:
  void draft(std::span<DraftTask> tasks, Matrix hidden) override;
};

/// What followed the latest earlier place where the longest match, of at most 4 and at least 2
/// tokens, of the end of `text` occurs; at most `count` tokens.
std::vector<TokenId> look_up_continuation(std::span<const TokenId> text, int64_t count);

}  // namespace gemma4
