// A prompt as the decoder reads it: ids with the pad token where soft tokens stand, image blocks,
// and keys by which a session knows what it has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/step.h"
#include "lib/model/config.h"
#include "lib/runtime/media_input.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// What a position of a sequence holds: a token's id, or a hash of a soft token's origin. Where
/// rows of an image see each other it is a hash of all of the block, so that two sequences that
/// agree up to the middle of a block never do so.
using PositionKey = uint64_t;

inline PositionKey position_key(TokenId id) { return static_cast<PositionKey>(id); }

struct PromptRows {
  std::vector<TokenId> tokens;     // [positions]
  std::vector<PositionKey> keys;   // [positions]
  std::vector<KeyRange> blocks;    // [positions], as in Segment; empty when there are none
  std::vector<const float*> soft;  // [positions], as in Segment; null until encoded; empty when
                                   // there are no media
  /// The block that holds the position, or just {position, position + 1}.
  KeyRange block(int64_t position) const;
};

/// `spans` ascending and apart. Blocks are made of images and video frames when the model sees
/// them both ways.
PromptRows make_prompt_rows(const ModelConfig& config, std::span<const TokenId> prompt,
                            std::span<const MediaSpan> spans);

/// Soft tokens of the largest block, 0 without blocks.
int64_t largest_block(const ModelConfig& config, std::span<const MediaSpan> spans);

}  // namespace gemma4
