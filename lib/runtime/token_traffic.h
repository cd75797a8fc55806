// Bytes that decoding one token reads: what memory bandwidth limits (spec text-decoder.md, 5.2).
#pragma once

#include <cstdint>

#include "lib/model/config.h"
#include "lib/model/text_weights.h"

namespace gemma4 {

/// Every matrix once, in the format in use, of the experts as many as a token is routed to; one
/// row of the lookup tables.
uint64_t weight_bytes_per_token(const TextWeights& weights);

/// Keys and values, with their scales, that all layers read at `position`; borrowed ones count at
/// each reader.
uint64_t kv_bytes_per_token(const TextConfig& config, Dtype kv_dtype, int64_t position);

}  // namespace gemma4
