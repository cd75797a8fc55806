// What runs requests on a loaded model, and what it works with.
#pragma once

#include "kernels/ops.h"
#include "lib/model/text_decoder.h"
#include "lib/runtime/kv_cache.h"
#include "lib/runtime/media_encodings.h"
#include "lib/runtime/speculation.h"
#include "lib/runtime/step_builder.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Most tokens of one answer in one step.
inline constexpr int64_t kMaxTokensAtOnce = 1 + kMaxDraftTokens;

/// What a runner works with; all outlive it.
struct RunnerContext {
  Ops& ops;
  TextDecoder& decoder;
  KvCache& cache;
  const ModelConfig& config;
  const Tokenizer* tokenizer;  // may be null
  int64_t context;             // most positions of a sequence
  int64_t max_chunk;           // prompt rows in one step, unless an image block is longer
  MediaEncodings& media;
  ImageMaskRule image_mask_rule;
  Speculation* speculation = nullptr;  // null: no drafts
};

}  // namespace gemma4
