// The keys and values of all sequences, in the backend's memory.
//
// Both kinds of layer use the same blocks. Full-attention layers take blocks as a sequence grows;
// sliding layers have a ring a sequence, of the window plus the largest chunk, so that a chunk can
// be stored before its first rows have attended (spec text-decoder.md, 4.3).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/config.h"
#include "lib/model/kv_scales.h"

namespace gemma4 {

struct KvCacheOptions {
  Dtype dtype = Dtype::kBf16;  // as KvLayer's
  int64_t max_sequences = 1;
  int64_t max_positions = 0;          // of all sequences together, in full-attention layers
  int64_t max_chunk = 512;            // rows of one sequence in one step
  std::vector<KvScales> scales = {};  // of kF8E4M3, one a layer; empty: all 1
};

/// Bytes of a cache: full-attention layers for `positions` positions, and the rings.
struct KvCacheBytes {
  uint64_t full = 0;
  uint64_t ring = 0;
};
KvCacheBytes kv_cache_bytes(const TextConfig& config, Dtype dtype, int64_t positions,
                            int64_t sequences, int64_t max_chunk);

class KvCache {
 public:
  KvCache(Ops& ops, const TextConfig& config, const KvCacheOptions& options);

  /// One entry a layer of the model; the memory of layers that borrow is null.
  std::span<const KvLayer> layers() const { return layers_; }
  const KvPages& pages(LayerKind kind) const { return pages_[static_cast<size_t>(kind)]; }

  /// A free sequence; Error(kInternal) when all are taken.
  int32_t add_sequence();
  void remove_sequence(int32_t sequence);
  int64_t free_sequences() const { return static_cast<int64_t>(free_sequences_.size()); }

  /// Makes room for positions below `end`. Error(kResource) when the blocks are used up.
  void extend(int32_t sequence, int64_t end);
  /// Gives back the blocks past position `end`.
  void truncate(int32_t sequence, int64_t end);

  /// Positions that a ring keeps.
  int64_t ring_size() const { return ring_size_; }
  /// The ring of one sequence, all sliding layers, copied to host memory; and put back.
  std::vector<std::byte> save_ring(int32_t sequence) const;
  void load_ring(int32_t sequence, std::span<const std::byte> saved);

 private:
  Ops& ops_;
  std::vector<KvLayer> layers_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  KvPages pages_[kLayerKinds];
  std::vector<int32_t> free_blocks_;  // of full-attention layers
  std::vector<int32_t> free_sequences_;
  int64_t ring_size_ = 0;
};

}  // namespace gemma4
