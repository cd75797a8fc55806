// Speculative decoding: who drafts, how much, and when a draft counts.
#pragma once

#include <functional>
#include <memory>

#include "lib/runtime/draft_control.h"
#include "lib/runtime/draft_source.h"

namespace gemma4 {

struct Speculation {
  std::unique_ptr<DraftSource> source;
  DraftControl control;

  /// Whether a draft stands where the model, sampling as it would without drafts, drew `drawn`.
  /// Equality is the rejection rule for drafts that are no random choice (spec mtp-diffusion.md,
  /// A9.2): a draft d is accepted with its probability p(d), and the token after a rejection is
  /// distributed as p without d. Another rule is for tests only.
  std::function<bool(TokenId drafted, TokenId drawn)> accepts = std::equal_to<TokenId>();
};

}  // namespace gemma4
