#include "lib/runtime/step_builder.h"

#include <algorithm>

namespace gemma4 {
namespace {

// Spec text-decoder.md, 2.8: causal, the last `window` keys on sliding layers, and inside an image
// block both ways.
KeyRange sliding_range(int32_t position, int32_t window, KeyRange block, ImageMaskRule rule) {
  const int32_t begin = std::max(0, position - window + 1);
  return {rule == ImageMaskRule::kAllLayersUnbounded ? std::min(begin, block.begin) : begin,
          block.end};
}

KeyRange full_range(int32_t position, KeyRange block, ImageMaskRule rule) {
  return {0, rule == ImageMaskRule::kSliding ? position + 1 : block.end};
}

// The range is the same for all rows of a canvas: a window a row would leave the last rows less
// context than the first.
KeyRange canvas_range(const Segment& segment, LayerKind kind) {
  const auto end = segment.first_position + static_cast<int32_t>(segment.tokens.size());
  const bool full = kind == LayerKind::kFull;
  return {full ? 0 : std::max(0, segment.first_position - *segment.canvas_context), end};
}

}  // namespace

Step build_step(const TextConfig& config, const KvCache& cache, std::span<const Segment> segments,
                ImageMaskRule rule) {
  Step step;
  for (int kind = 0; kind < kLayerKinds; ++kind) {
    step.pages[static_cast<size_t>(kind)] = &cache.pages(static_cast<LayerKind>(kind));
  }
  for (const Segment& segment : segments) {
    for (size_t i = 0; i < segment.tokens.size(); ++i) {
      const int32_t position = segment.first_position + static_cast<int32_t>(i);
      const KeyRange block = segment.blocks.empty() || !config.bidirectional_vision
                                 ? KeyRange{position, position + 1}
                                 : segment.blocks[i];
      if (!segment.soft.empty() && segment.soft[i] != nullptr) {
        step.soft_rows.push_back(static_cast<int32_t>(step.tokens.size()));
        step.soft_embeddings.push_back(segment.soft[i]);
      }
      step.tokens.push_back(segment.tokens[i]);
      step.positions.push_back(position);
      step.sequences.push_back(segment.sequence);
      if (segment.canvas_context) {
        for (const LayerKind kind : {LayerKind::kSliding, LayerKind::kFull}) {
          step.visible[static_cast<size_t>(kind)].push_back(canvas_range(segment, kind));
        }
        continue;
      }
      step.visible[static_cast<size_t>(LayerKind::kSliding)].push_back(
          sliding_range(position, config.sliding_window, block, rule));
      step.visible[static_cast<size_t>(LayerKind::kFull)].push_back(
          full_range(position, block, rule));
    }
  }
  return step;
}

Step build_draft_step(const TextConfig& config, const KvCache& cache,
                      std::span<const DraftQuery> queries, int32_t offset) {
  Step step;
  for (int kind = 0; kind < kLayerKinds; ++kind) {
    step.pages[static_cast<size_t>(kind)] = &cache.pages(static_cast<LayerKind>(kind));
  }
  for (const DraftQuery& query : queries) {
    const int32_t position = query.stored + offset;
    // At offset 0 the official implementation counts the window from the newest stored key.
    const int32_t oldest = query.stored - config.sliding_window - (offset == 0 ? 1 : 0);
    step.tokens.push_back(query.token);
    step.positions.push_back(position);
    step.sequences.push_back(query.sequence);
    step.visible[static_cast<size_t>(LayerKind::kSliding)].push_back(
        {std::max(0, oldest), query.stored});
    step.visible[static_cast<size_t>(LayerKind::kFull)].push_back({0, query.stored});
  }
  return step;
}

}  // namespace gemma4
