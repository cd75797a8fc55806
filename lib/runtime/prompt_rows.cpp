#include "lib/runtime/prompt_rows.h"

#include <algorithm>
#include <string_view>

#include "lib/text/content_hash.h"

namespace gemma4 {
namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  const uint64_t parts[] = {a, b};
  return content_hash({reinterpret_cast<const char*>(parts), sizeof(parts)});
}

// Above every token id.
PositionKey soft_key(uint64_t hash) { return hash | (uint64_t{1} << 63); }

// Spec vision-audio-video.md, 6.3: a block is a run of image or frame positions without a gap.
std::vector<KeyRange> image_blocks(std::span<const MediaSpan> spans) {
  std::vector<KeyRange> blocks;
  for (const MediaSpan& span : spans) {
    if (span.input->kind == MediaKind::kAudio) continue;
    if (!blocks.empty() && blocks.back().end == span.first) {
      blocks.back().end = static_cast<int32_t>(span.end());
    } else {
      blocks.push_back({static_cast<int32_t>(span.first), static_cast<int32_t>(span.end())});
    }
  }
  return blocks;
}

}  // namespace

KeyRange PromptRows::block(int64_t position) const {
  if (!blocks.empty()) return blocks[static_cast<size_t>(position)];
  return {static_cast<int32_t>(position), static_cast<int32_t>(position + 1)};
}

PromptRows make_prompt_rows(const ModelConfig& config, std::span<const TokenId> prompt,
                            std::span<const MediaSpan> spans) {
  PromptRows rows;
  rows.tokens.assign(prompt.begin(), prompt.end());
  for (const TokenId id : prompt) rows.keys.push_back(position_key(id));
  if (spans.empty()) return rows;
  rows.soft.resize(prompt.size(), nullptr);
  for (const MediaSpan& span : spans) {
    for (int64_t i = 0; i < span.input->soft_tokens; ++i) {
      const auto at = static_cast<size_t>(span.first + i);
      rows.tokens[at] = config.pad_id;
      rows.keys[at] = soft_key(mix(span.input->key, static_cast<uint64_t>(i)));
    }
  }
  const std::vector<KeyRange> blocks =
      config.text.bidirectional_vision ? image_blocks(spans) : std::vector<KeyRange>{};
  if (blocks.empty()) return rows;
  for (size_t i = 0; i < prompt.size(); ++i) {
    const auto position = static_cast<int32_t>(i);
    rows.blocks.push_back({position, position + 1});
  }
  for (const KeyRange block : blocks) {
    uint64_t whole = static_cast<uint64_t>(block.end - block.begin);
    for (auto p = static_cast<size_t>(block.begin); p < static_cast<size_t>(block.end); ++p) {
      whole = mix(whole, rows.keys[p]);
    }
    for (auto p = static_cast<size_t>(block.begin); p < static_cast<size_t>(block.end); ++p) {
      rows.blocks[p] = block;
      rows.keys[p] = soft_key(mix(whole, rows.keys[p]));
    }
  }
  return rows;
}

int64_t largest_block(const ModelConfig& config, std::span<const MediaSpan> spans) {
  int64_t largest = 0;
  if (!config.text.bidirectional_vision) return largest;
  for (const KeyRange block : image_blocks(spans)) {
    largest = std::max<int64_t>(largest, block.end - block.begin);
  }
  return largest;
}

}  // namespace gemma4
