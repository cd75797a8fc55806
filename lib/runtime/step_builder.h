// Builds steps: which rows, at which positions, seeing which keys.
#pragma once

#include <optional>
#include <span>

#include "kernels/step.h"
#include "lib/model/config.h"
#include "lib/runtime/kv_cache.h"
#include "lib/runtime/model_options.h"

namespace gemma4 {

/// A run of one sequence's tokens to put through the model.
struct Segment {
  int32_t sequence = 0;
  int32_t first_position = 0;
  std::span<const int32_t> tokens;
  /// Per token: one past the last position of the image block it belongs to, and the block's
  /// first position; empty when there are no blocks. A token outside blocks has {p, p + 1}.
  std::span<const KeyRange> blocks = {};
  /// Per token: the row [hidden_size] of a media encoder that takes its place, null for an ordinary
  /// token; empty when there are none.
  std::span<const float* const> soft = {};
  /// The tokens are a diffusion canvas: every row sees all of them and the keys before them, on
  /// sliding layers so many (spec mtp-diffusion.md, B6).
  std::optional<int32_t> canvas_context = std::nullopt;
};

/// A step of the segments, in order; their sequences must be distinct, but for a canvas that
/// follows the tokens before it. Keys must already have room (KvCache::extend).
Step build_step(const TextConfig& config, const KvCache& cache, std::span<const Segment> segments,
                ImageMaskRule rule = ImageMaskRule::kSliding);

/// A sequence that an assistant drafts for.
struct DraftQuery {
  int32_t sequence = 0;
  int32_t stored = 0;  // positions whose keys and values are stored; its newest token comes next
  int32_t token = 0;   // that token
};

/// A step of one row a query, at position stored + offset: it sees all stored keys on full layers
/// and the last of them on sliding ones (spec mtp-diffusion.md, A5): sliding_window keys at offset
/// -1, one more at offset 0.
Step build_draft_step(const TextConfig& config, const KvCache& cache,
                      std::span<const DraftQuery> queries, int32_t offset);

}  // namespace gemma4
