// What one row of logits is sampled with. Order and definitions: spec tokenizer-chat.md, section 7.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gemma4 {

struct SamplingParams {
  float temperature = 1.0f;  // below 1e-5: the largest logit, the lowest id on ties
  int32_t top_k = 0;         // <= 0: off
  float top_p = 1.0f;        // >= 1: off
  float min_p = 0.0f;        // <= 0: off
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
};

/// One row to sample. Spans are host memory that outlives the call.
struct SampleRow {
  SamplingParams params;
  std::span<const int32_t> prompt_ids;  // distinct ids of the prompt: the repetition penalty
  std::span<const int32_t> output_ids;  // generated so far, with repeats: all three penalties
  std::span<const int32_t> suppressed;  // ids that get -inf first
  /// One bit an id, lowest bit first, 1 = allowed; empty: all. Ids past its end are forbidden.
  std::span<const uint64_t> allowed;
  double random = 0.0;  // uniform in [0, 1): where the draw falls in the cumulated distribution
};

}  // namespace gemma4
