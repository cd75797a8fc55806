#include "lib/runtime/prompt_feed.h"

#include <algorithm>

namespace gemma4 {
namespace {

constexpr int64_t kSoftTokensAtOnce = 560;  // that are encoded before one step

template <typename T>
std::span<const T> part(const std::vector<T>& values, int64_t first, int64_t count) {
  if (values.empty()) return {};
  return std::span(values).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
}

}  // namespace

PromptFeed::PromptFeed(const ModelConfig& config, std::span<const TokenId> tokens,
                       std::span<const MediaSpan> media)
    : rows_(make_prompt_rows(config, tokens, media)), media_(media) {}

void PromptFeed::skip(int64_t count) {
  fed_ = count;
  while (!missing().empty() && missing().front().end() <= fed_) encodings_.push_back(nullptr);
}

int64_t PromptFeed::next_chunk(int64_t budget, int64_t max_chunk) const {
  const int64_t ready = missing().empty() ? size() : rows_.block(missing().front().first).begin;
  const int64_t end = std::min(ready, fed_ + budget);
  if (end == size()) return end - fed_;
  const KeyRange block = rows_.block(end);
  if (block.begin == end) return end - fed_;
  if (block.begin > fed_) return block.begin - fed_;
  return budget == max_chunk ? block.end - fed_ : 0;
}

Segment PromptFeed::segment(int64_t count) const {
  return {.tokens = part(rows_.tokens, fed_, count),
          .blocks = part(rows_.blocks, fed_, count),
          .soft = part(rows_.soft, fed_, count)};
}

std::span<const PositionKey> PromptFeed::keys(int64_t count) const {
  return part(rows_.keys, fed_, count);
}

void PromptFeed::take(SoftTokensPtr tokens) {
  const MediaSpan& span = missing().front();
  const int64_t width = static_cast<int64_t>(tokens->values.size()) / tokens->rows;
  for (int64_t i = 0; i < tokens->rows; ++i) {
    rows_.soft[static_cast<size_t>(span.first + i)] = tokens->values.data() + i * width;
  }
  encodings_.push_back(std::move(tokens));
}

void encode_missing(std::span<PromptFeed* const> feeds, MediaEncodings& encoder) {
  std::vector<MediaInputPtr> wanted;
  std::vector<PromptFeed*> owners;
  int64_t tokens = 0;
  for (PromptFeed* feed : feeds) {
    for (const MediaSpan& span : feed->missing()) {
      const bool is_kept = encoder.find(*span.input) != nullptr;
      const int64_t count = is_kept ? 0 : span.input->soft_tokens;
      if (!wanted.empty() && tokens + count > kSoftTokensAtOnce) break;
      tokens += count;
      wanted.push_back(span.input);
      owners.push_back(feed);
    }
  }
  if (wanted.empty()) return;
  const std::vector<SoftTokensPtr> encoded = encoder.encode(wanted);
  for (size_t i = 0; i < encoded.size(); ++i) owners[i]->take(encoded[i]);
}

}  // namespace gemma4
