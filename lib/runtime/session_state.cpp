#include "lib/runtime/session_state.h"

#include <algorithm>

namespace gemma4 {
namespace {

// Rings of large models take hundreds of MiB: the oldest saved ones go first.
constexpr size_t kMaxSavedBytes = size_t{1} << 30;

}  // namespace

SessionState::SessionState(KvCache& cache, int32_t sliding_window)
    : cache_(cache), sliding_window_(sliding_window), sequence_(cache.add_sequence()) {}

SessionState::~SessionState() { cache_.remove_sequence(sequence_); }

// The token at position `end` sees back to end - window + 1.
bool SessionState::window_whole(int64_t floor, int64_t end) const {
  return floor <= std::max<int64_t>(0, end - sliding_window_ + 1);
}

int64_t SessionState::synchronize(const PromptRows& prompt, int64_t limit) {
  const auto length = std::min(static_cast<ptrdiff_t>(keys_.size()), static_cast<ptrdiff_t>(limit));
  const auto common = static_cast<int64_t>(
      std::mismatch(keys_.begin(), keys_.begin() + length, prompt.keys.begin()).first -
      keys_.begin());
  const auto usable_end = [&](int64_t end) {
    return end < static_cast<int64_t>(prompt.keys.size()) ? prompt.block(end).begin : end;
  };
  const int64_t end = usable_end(common);
  if (window_whole(ring_floor_, end)) {
    cut(end);
    return end;
  }
  const SavedRing* best = nullptr;
  int64_t best_end = 0;
  for (const SavedRing& saved : saved_) {
    const int64_t saved_end = usable_end(std::min(common, saved.end));
    if (window_whole(saved.floor, saved_end) && saved_end > best_end) {
      best = &saved;
      best_end = saved_end;
    }
  }
  if (best != nullptr) {
    cache_.load_ring(sequence_, best->bytes);
    ring_floor_ = best->floor;
  } else {
    ring_floor_ = 0;
  }
  cut(best_end);
  return best_end;
}

void SessionState::cut(int64_t end) {
  keys_.resize(static_cast<size_t>(end));
  cache_.truncate(sequence_, end);
  for (SavedRing& saved : saved_) saved.end = std::min(saved.end, end);
  std::erase_if(saved_, [&](const SavedRing& saved) {
    return saved.end == 0 || !window_whole(saved.floor, saved.end);
  });
}

void SessionState::reserve(int64_t count) {
  const int64_t end = cached_tokens() + count;
  cache_.extend(sequence_, end);
  // From here on the ring's oldest rows are overwritten, even if the step fails half way.
  ring_floor_ = std::max(ring_floor_, end - cache_.ring_size());
}

void SessionState::append(std::span<const PositionKey> keys) {
  keys_.insert(keys_.end(), keys.begin(), keys.end());
}

void SessionState::take_back(int64_t count) {
  if (count > 0) cut(cached_tokens() - count);
}

void SessionState::save_ring() {
  std::vector<std::byte> bytes = cache_.save_ring(sequence_);
  size_t total = bytes.size();
  for (const SavedRing& saved : saved_) total += saved.bytes.size();
  while (!saved_.empty() && total > kMaxSavedBytes) {
    total -= saved_.front().bytes.size();
    saved_.erase(saved_.begin());
  }
  saved_.push_back({ring_floor_, cached_tokens(), std::move(bytes)});
}

}  // namespace gemma4
