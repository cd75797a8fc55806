// One sequence of the KV cache, and what its keys and values stand for.
//
// A session is synchronised to a prompt: it finds the longest prefix that it can reuse, forgets
// the rest, and the caller extends it. Full-attention layers can be cut anywhere; a ring only
// back to where its window is still whole, so rings are saved at the ends of prompts, where
// conversations diverge (a thought removed, an answer edited or undone).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/kv_cache.h"
#include "lib/runtime/prompt_rows.h"

namespace gemma4 {

class SessionState : public Session {
 public:
  /// Takes a sequence of `cache` for as long as it lives.
  SessionState(KvCache& cache, int32_t sliding_window);
  ~SessionState() override;
  SessionState(const SessionState&) = delete;
  SessionState& operator=(const SessionState&) = delete;

  int64_t cached_tokens() const override { return static_cast<int64_t>(keys_.size()); }
  int32_t sequence() const { return sequence_; }

  /// Keeps the longest usable prefix of `prompt` that ends outside image blocks, of its first
  /// `limit` positions. Returns its length.
  int64_t synchronize(const PromptRows& prompt, int64_t limit);

  /// Makes room for `count` more positions, before a step that stores them.
  void reserve(int64_t count);
  /// The step has stored these at the positions that follow.
  void append(std::span<const PositionKey> keys);
  /// Takes back the last `count` positions, which must be of the latest step: the ring still has
  /// what they see.
  void take_back(int64_t count);

  /// Saves the ring as it is now, so that later requests can come back to here.
  void save_ring();

 private:
  struct SavedRing {
    int64_t floor;  // as ring_floor_ then
    int64_t end;    // positions below this are still those of keys_
    std::vector<std::byte> bytes;
  };

  bool window_whole(int64_t floor, int64_t end) const;
  void cut(int64_t end);

  KvCache& cache_;
  int32_t sliding_window_;
  int32_t sequence_;
  std::vector<PositionKey> keys_;
  int64_t ring_floor_ = 0;  // the ring holds positions [ring_floor_, keys_.size())
  std::vector<SavedRing> saved_;
};

}  // namespace gemma4
