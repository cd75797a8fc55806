// The logits of every position of a prompt.
#pragma once

#include <functional>
#include <span>

#include "lib/runtime/runner_context.h"

namespace gemma4 {

/// See Engine::score. `ids` fit the context, and the model has them.
void score_prompt(const RunnerContext& context, std::span<const TokenId> ids,
                  const std::function<void(std::span<const float> logits)>& row);

}  // namespace gemma4
