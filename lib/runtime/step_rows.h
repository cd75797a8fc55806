// How large steps get: what activation memory and rings are made for.
#pragma once

#include <algorithm>
#include <cstdint>

#include "lib/model/config.h"
#include "lib/runtime/runner_context.h"

namespace gemma4 {

struct StepRows {
  int64_t all;           // of a whole step
  int64_t one_sequence;  // of one sequence in a step
};

/// Every sequence may have its answer's rows in a step, beside a chunk of `max_chunk` prompt rows;
/// on a diffusion model those rows are a canvas, which follows a chunk of the same sequence.
inline StepRows step_rows(const ModelConfig& config, int64_t max_chunk, int64_t max_sequences) {
  if (!config.diffusion) {
    return {max_chunk + max_sequences * kMaxTokensAtOnce, std::max(max_chunk, kMaxTokensAtOnce)};
  }
  const int64_t canvas = config.diffusion->canvas_length;
  return {max_chunk + max_sequences * canvas, max_chunk + canvas};
}

}  // namespace gemma4
