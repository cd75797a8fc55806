#include "lib/runtime/kv_cache.h"

#include <algorithm>
#include <cstring>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

constexpr int32_t kBlockSize = 64;  // positions; a multiple of every attention kernel's key tile

int64_t blocks_for(int64_t positions) { return (positions + kBlockSize - 1) / kBlockSize; }

int64_t ring_blocks(const TextConfig& config, int64_t max_chunk) {
  return blocks_for(config.sliding_window + max_chunk);
}

// Of keys or values.
size_t block_bytes(const KvLayer& layer) {
  return static_cast<size_t>(layer.num_kv_heads) * kBlockSize *
         static_cast<size_t>(layer.head_dim * dtype_bits(layer.dtype) / 8);
}

// Of their scales.
size_t scale_bytes(const KvLayer& layer) {
  if (layer.dtype != Dtype::kI8) return 0;
  return static_cast<size_t>(layer.num_kv_heads) * kBlockSize * sizeof(float);
}

KvLayer empty_layer(const LayerConfig& layer, Dtype dtype) {
  return {layer.kind, dtype, layer.num_kv_heads, layer.head_dim, kBlockSize};
}

// Calls fn(array, bytes of one block) for each array of a layer.
template <typename Fn>
void for_arrays(const KvLayer& layer, const Fn& fn) {
  for (void* array : {layer.keys, layer.values}) fn(array, block_bytes(layer));
  for (float* array : {layer.key_scales, layer.value_scales}) {
    if (array != nullptr) fn(static_cast<void*>(array), scale_bytes(layer));
  }
}

}  // namespace

KvCacheBytes kv_cache_bytes(const TextConfig& config, Dtype dtype, int64_t positions,
                            int64_t sequences, int64_t max_chunk) {
  KvCacheBytes bytes;
  for (const LayerConfig& layer : config.layers) {
    if (!layer.owns_kv) continue;
    const KvLayer empty = empty_layer(layer, dtype);
    const uint64_t block = 2 * (block_bytes(empty) + scale_bytes(empty));
    if (layer.kind == LayerKind::kFull) {
      bytes.full += block * static_cast<uint64_t>(blocks_for(positions));
    } else {
      bytes.ring += block * static_cast<uint64_t>(ring_blocks(config, max_chunk) * sequences);
    }
  }
  return bytes;
}

KvCache::KvCache(Ops& ops, const TextConfig& config, const KvCacheOptions& options) : ops_(ops) {
  const auto sequences = static_cast<int32_t>(options.max_sequences);
  // Every sequence may leave its last block partly filled.
  const int64_t full_blocks = blocks_for(options.max_positions) + sequences;
  const int64_t ring = ring_blocks(config, options.max_chunk);
  ring_size_ = ring * kBlockSize;
  for (const LayerConfig& layer : config.layers) {
    KvLayer kv = empty_layer(layer, options.dtype);
    if (layer.owns_kv) {
      const int64_t blocks = layer.kind == LayerKind::kFull ? full_blocks : ring * sequences;
      const auto array = [&](size_t bytes_of_block) {
        buffers_.push_back(ops.allocate(bytes_of_block * static_cast<size_t>(blocks)));
        return buffers_.back()->data();
      };
      kv.keys = array(block_bytes(kv));
      kv.values = array(block_bytes(kv));
      if (scale_bytes(kv) > 0) {
        kv.key_scales = static_cast<float*>(array(scale_bytes(kv)));
        kv.value_scales = static_cast<float*>(array(scale_bytes(kv)));
      }
      if (!options.scales.empty()) {
        kv.key_scale = options.scales[layers_.size()].key;
        kv.value_scale = options.scales[layers_.size()].value;
      }
    }
    layers_.push_back(kv);
  }
  for (KvPages& pages : pages_) {
    pages.block_size = kBlockSize;
    pages.blocks.resize(static_cast<size_t>(sequences));
  }
  for (int64_t b = full_blocks; b-- > 0;) free_blocks_.push_back(static_cast<int32_t>(b));
  for (int32_t s = sequences; s-- > 0;) {
    free_sequences_.push_back(s);
    auto& table = pages_[static_cast<size_t>(LayerKind::kSliding)].blocks[static_cast<size_t>(s)];
    for (int64_t b = 0; b < ring; ++b) table.push_back(static_cast<int32_t>(s * ring + b));
  }
}

int32_t KvCache::add_sequence() {
  if (free_sequences_.empty()) throw Error(ErrorKind::kInternal, "no free sequence", "KV cache");
  const int32_t sequence = free_sequences_.back();
  free_sequences_.pop_back();
  return sequence;
}

void KvCache::remove_sequence(int32_t sequence) {
  truncate(sequence, 0);
  free_sequences_.push_back(sequence);
}

void KvCache::extend(int32_t sequence, int64_t end) {
  auto& table = pages_[static_cast<size_t>(LayerKind::kFull)].blocks[static_cast<size_t>(sequence)];
  while (static_cast<int64_t>(table.size()) < blocks_for(end)) {
    if (free_blocks_.empty()) {
      throw Error(ErrorKind::kResource, "the KV cache is full", "", "use a larger --context");
    }
    table.push_back(free_blocks_.back());
    free_blocks_.pop_back();
  }
}

void KvCache::truncate(int32_t sequence, int64_t end) {
  auto& table = pages_[static_cast<size_t>(LayerKind::kFull)].blocks[static_cast<size_t>(sequence)];
  while (static_cast<int64_t>(table.size()) > blocks_for(end)) {
    free_blocks_.push_back(table.back());
    table.pop_back();
  }
}

std::vector<std::byte> KvCache::save_ring(int32_t sequence) const {
  const auto& table =
      pages_[static_cast<size_t>(LayerKind::kSliding)].blocks[static_cast<size_t>(sequence)];
  std::vector<std::byte> saved;
  for (const KvLayer& layer : layers_) {
    if (layer.kind != LayerKind::kSliding || layer.keys == nullptr) continue;
    for_arrays(layer, [&](const void* array, size_t block) {
      // A ring's blocks follow each other.
      const size_t bytes = block * table.size();
      const size_t from = block * static_cast<size_t>(table[0]);
      saved.resize(saved.size() + bytes);
      ops_.copy_to_host(saved.data() + saved.size() - bytes,
                        static_cast<const std::byte*>(array) + from, bytes);
    });
  }
  return saved;
}

void KvCache::load_ring(int32_t sequence, std::span<const std::byte> saved) {
  const auto& table =
      pages_[static_cast<size_t>(LayerKind::kSliding)].blocks[static_cast<size_t>(sequence)];
  for (const KvLayer& layer : layers_) {
    if (layer.kind != LayerKind::kSliding || layer.keys == nullptr) continue;
    for_arrays(layer, [&](void* array, size_t block) {
      const size_t bytes = block * table.size();
      const size_t to = block * static_cast<size_t>(table[0]);
      ops_.copy_from_host(static_cast<std::byte*>(array) + to, saved.data(), bytes);
      saved = saved.subspan(bytes);
    });
  }
}

}  // namespace gemma4
