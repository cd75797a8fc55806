#include "kernels/cpu/attention.h"

#include <algorithm>
#include <cmath>

#include "lib/base/parallel.h"

namespace gemma4::cpu {
namespace {

// KeyRange is handed to the kernels, which know only plain data, as KeySpan.
static_assert(sizeof(KeyRange) == sizeof(KeySpan));

constexpr int32_t kPartKeys = 512;  // long key ranges are cut into parts of this size or larger
constexpr int32_t kMaxParts = 16;

/// A power of two times kPartKeys that cuts `end` keys into at most kMaxParts. It depends on
/// nothing else, so that a row's result is the same in every batch.
int32_t part_size(int32_t end) {
  int32_t size = kPartKeys;
  while (size < end / kMaxParts) size *= 2;
  return size;
}

Element element_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF32:
      return Element::kF32;
    case Dtype::kI8:
      return Element::kInt8;
    case Dtype::kF8E4M3:
      return Element::kFp8;
    default:
      return Element::kBf16;
  }
}

}  // namespace

void StepAttention::add_tiles(const std::vector<KeyRange>& visible, int32_t first, int32_t end,
                              const KvLayer& layer, int32_t num_heads) {
  const int32_t group = num_heads / layer.num_kv_heads;
  const bool few = end - first <= kMatvecRows;
  const int32_t most = few ? kMatvecRows : kTileQueries;
  const int32_t heads = std::min(group, most);
  const int32_t rows = std::max(1, most / heads);
  const auto part_of = [&](int32_t row) {
    return part_size(visible[static_cast<size_t>(row)].end);
  };
  for (int32_t row = first, next = first; row < end; row = next) {
    Tile tile{};
    tile.first_row = row;
    tile.rows = std::min(rows, end - row);
    // Rows of a tile have their keys cut as each would alone.
    while (few && part_of(row + tile.rows - 1) != part_of(row)) --tile.rows;
    next = row + tile.rows;
    tile.few = few;
    tile.keys = {INT32_MAX, 0};
    for (int32_t r = row; r < row + tile.rows; ++r) {
      const KeyRange range = visible[static_cast<size_t>(r)];
      if (range.begin >= range.end) continue;
      tile.keys.begin = std::min(tile.keys.begin, range.begin);
      tile.keys.end = std::max(tile.keys.end, range.end);
    }
    tile.keys.begin = std::min(tile.keys.begin, tile.keys.end);
    // Many queries are work enough for the threads without cutting their keys.
    tile.part_size = few ? part_size(tile.keys.end) : INT32_MAX;
    for (int32_t head = 0; head < num_heads; head += tile.heads) {
      tile.first_head = head;
      tile.heads = std::min(heads, group - head % group);
      tiles_.push_back(tile);
    }
  }
}

void StepAttention::make_tiles(const Step& step, const KvLayer& layer, int32_t num_heads) {
  tiles_.clear();
  parts_.clear();
  const auto rows = static_cast<int32_t>(step.rows());
  for (int32_t first = 0; first < rows;) {
    int32_t end = first + 1;
    while (end < rows &&
           step.sequences[static_cast<size_t>(end)] == step.sequences[static_cast<size_t>(first)]) {
      ++end;
    }
    add_tiles(step.visible_of(layer.kind), first, end, layer, num_heads);
    first = end;
  }
  queries_of_part_ = 0;
  for (size_t i = 0; i < tiles_.size(); ++i) {
    Tile& tile = tiles_[i];
    tile.first_part = static_cast<int32_t>(parts_.size());
    queries_of_part_ = std::max(queries_of_part_, tile.rows * tile.heads);
    for (int32_t key = tile.keys.begin; key < tile.keys.end;) {
      const int64_t next = (int64_t{key} / tile.part_size + 1) * tile.part_size;
      const auto end = static_cast<int32_t>(std::min<int64_t>(next, tile.keys.end));
      parts_.push_back({static_cast<int32_t>(i), {key, end}});
      key = end;
    }
  }
}

void StepAttention::run(const Step& step, Matrix q, const KvLayer& layer, Matrix out) {
  const int32_t d = layer.head_dim;
  make_tiles(step, layer, static_cast<int32_t>(q.cols / d));
  const auto num_parts = static_cast<int64_t>(parts_.size());
  const int64_t queries = queries_of_part_;
  weighted_ = partial_.floats(num_parts * queries * (d + 2));
  largest_ = weighted_ + num_parts * queries * d;
  sum_ = largest_ + num_parts * queries;
  scratch_.reserve_threads();

  const KvPages& pages = step.pages_of(layer.kind);
  const auto* visible = reinterpret_cast<const KeySpan*>(step.visible_of(layer.kind).data());
  const int64_t head_size = static_cast<int64_t>(layer.block_size) * d;
  const int32_t group = static_cast<int32_t>(q.cols / d) / layer.num_kv_heads;
  parallel_items(num_parts, [&](int64_t i) {
    const Part& part = parts_[static_cast<size_t>(i)];
    const Tile& tile = tiles_[static_cast<size_t>(part.tile)];
    const auto sequence = static_cast<size_t>(step.sequences[static_cast<size_t>(tile.first_row)]);
    AttentionTile work{};
    work.q = q.row(tile.first_row) + tile.first_head * d;
    work.q_stride = q.cols;
    work.rows = tile.rows;
    work.heads = tile.heads;
    work.head_dim = d;
    work.visible = visible + tile.first_row;
    work.kv.keys = static_cast<const char*>(layer.keys);
    work.kv.values = static_cast<const char*>(layer.values);
    work.kv.key_scales = layer.key_scales;
    work.kv.value_scales = layer.value_scales;
    work.kv.key_scale = layer.key_scale;
    work.kv.value_scale = layer.value_scale;
    work.kv.type = element_type(layer.dtype);
    work.kv.blocks = pages.blocks[sequence].data();
    work.kv.num_blocks = static_cast<int32_t>(pages.blocks[sequence].size());
    work.kv.block_size = layer.block_size;
    work.kv.block_stride = layer.num_kv_heads * head_size;
    work.kv.head_offset = tile.first_head / group * head_size;
    work.part = part.keys;
    work.weighted = weighted_ + i * queries * d;
    work.largest = largest_ + i * queries;
    work.sum = sum_ + i * queries;
    float* scratch = scratch_.mine().floats(kernels_.attention.scratch(d));
    if (tile.few) {
      kernels_.attention.attend_few(work, scratch);
    } else {
      kernels_.attention.attend_many(work, scratch);
    }
  });
  parallel_ranges(static_cast<int64_t>(tiles_.size()), 8, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) merge(tiles_[static_cast<size_t>(i)], d, out);
  });
}

void StepAttention::merge(const Tile& tile, int32_t head_dim, Matrix out) const {
  const int64_t queries = queries_of_part_;
  const auto end =
      static_cast<int64_t>(&tile == &tiles_.back() ? parts_.size() : (&tile + 1)->first_part);
  for (int32_t query = 0; query < tile.rows * tile.heads; ++query) {
    float top = -INFINITY;
    for (int64_t p = tile.first_part; p < end; ++p) {
      top = std::max(top, largest_[p * queries + query]);
    }
    float total = 0.0f;
    for (int64_t p = tile.first_part; p < end; ++p) {
      const int64_t i = p * queries + query;
      if (sum_[i] > 0.0f) total += sum_[i] * std::exp(largest_[i] - top);
    }
    float* to = out.row(tile.first_row + query / tile.heads) +
                (tile.first_head + query % tile.heads) * static_cast<int64_t>(head_dim);
    std::fill(to, to + head_dim, 0.0f);
    for (int64_t p = tile.first_part; p < end; ++p) {
      const int64_t i = p * queries + query;
      if (!(sum_[i] > 0.0f)) continue;
      kernels_.rows.axpy(std::exp(largest_[i] - top) / total, weighted_ + i * head_dim, head_dim,
                         to);
    }
  }
}

}  // namespace gemma4::cpu
