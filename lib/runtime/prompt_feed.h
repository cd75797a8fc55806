// Tokens on their way into the cache, chunk by chunk, with the media among them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/runtime/media_encodings.h"
#include "lib/runtime/prompt_rows.h"
#include "lib/runtime/step_builder.h"

namespace gemma4 {

class PromptFeed {
 public:
  /// `tokens` and `media` (as GenerationRequest has them) outlive the feed.
  PromptFeed(const ModelConfig& config, std::span<const TokenId> tokens,
             std::span<const MediaSpan> media);

  const PromptRows& rows() const { return rows_; }
  int64_t size() const { return static_cast<int64_t>(rows_.tokens.size()); }
  /// Tokens whose keys and values are stored.
  int64_t fed() const { return fed_; }
  bool done() const { return fed_ == size(); }

  /// The first `count` tokens are stored already: their media are not needed.
  void skip(int64_t count);
  /// Tokens of the next chunk when `budget` rows are left in a step of `max_chunk`: never a part of
  /// an image block, whose rows see each other. A block that is longer than any chunk has a step to
  /// itself; what follows a medium that is not encoded yet has to wait.
  int64_t next_chunk(int64_t budget, int64_t max_chunk) const;
  /// The next `count` tokens; sequence and position are the caller's.
  Segment segment(int64_t count) const;
  std::span<const PositionKey> keys(int64_t count) const;
  /// The next `count` tokens are stored.
  void advance(int64_t count) { fed_ += count; }

  /// The media that are not encoded yet, in order; and the encoding of the first of them.
  std::span<const MediaSpan> missing() const { return media_.subspan(encodings_.size()); }
  void take(SoftTokensPtr tokens);

 private:
  PromptRows rows_;
  std::span<const MediaSpan> media_;
  std::vector<SoftTokensPtr> encodings_;  // of the first media; null: not needed
  int64_t fed_ = 0;
};

/// Encodes media that the feeds wait for, as many together as are worth it before one step.
void encode_missing(std::span<PromptFeed* const> feeds, MediaEncodings& encoder);

}  // namespace gemma4
