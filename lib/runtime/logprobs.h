// Log probabilities of one row of logits.
#pragma once

#include <span>

#include "lib/runtime/generation.h"

namespace gemma4 {

/// The log probability of `token` under softmax(logits), and the `top` best ids, best first (the
/// lower id first on ties).
TokenLogprob token_logprob(std::span<const float> logits, TokenId token, int top);

}  // namespace gemma4
