// `bench --load`: how long a checkpoint takes from its files to the first token.
#pragma once

#include <functional>
#include <optional>

#include "lib/runtime/engine.h"
#include "lib/runtime/measured.h"

namespace gemma4 {

/// Cold: after the kernel was asked to forget the checkpoint's pages, which it does for those that
/// no process maps (what lies beneath it, a host's disk cache say, may remember). Warm: right
/// after.
struct LoadTimes {
  Measured cold_load_ms;  // config, tokenizer and weights
  Measured warm_load_ms;
  Measured cold_first_token_ms;  // the load, and a prompt of 16 tokens up to the first token
  Measured warm_first_token_ms;
};

/// Nothing when should_stop ended it.
std::optional<LoadTimes> time_load(const EngineOptions& options, int repetitions,
                                   const std::function<std::optional<FinishReason>()>& should_stop);

}  // namespace gemma4
