// Attention of one tile of queries over a range of keys, over a SIMD type S. See AttentionKernels.
//
// Both kernels walk blocks of kKeyBlock keys with the running maximum and sum of FlashAttention
// (Dao et al. 2022, arXiv:2205.14135). Blocks begin at multiples of kKeyBlock of the position, so
// that a query's result does not depend on which other queries share its tile.
#pragma once

#include "kernels/cpu/product_kernels_impl.h"

namespace gemma4::cpu {

template <class S>
struct Attention {
  using V = typename S::V;
  using Tile = TileProduct<S>;
  static constexpr int kPanels = (kTileQueries + Tile::kRows - 1) / Tile::kRows;

  /// Elements from the start of the key or value array to position t.
  static int64_t element_of(const KvView& kv, int32_t t, int32_t head_dim) {
    const int32_t block = kv.blocks[t / kv.block_size % kv.num_blocks];
    return block * kv.block_stride + kv.head_offset +
           static_cast<int64_t>(t % kv.block_size) * head_dim;
  }

  /// The keys that any row of the tile sees, within the tile's part.
  static KeySpan keys_of(const AttentionTile& tile) {
    KeySpan keys = {tile.part.end, tile.part.begin};
    for (int32_t r = 0; r < tile.rows; ++r) {
      const KeySpan row = tile.visible[r];
      if (row.begin >= row.end) continue;
      keys.begin = row.begin < keys.begin ? row.begin : keys.begin;
      keys.end = row.end > keys.end ? row.end : keys.end;
    }
    keys.begin = keys.begin > tile.part.begin ? keys.begin : tile.part.begin;
    keys.end = keys.end < tile.part.end ? keys.end : tile.part.end;
    return keys;
  }

  /// Multiplies the scores or weights [queries, kKeyBlock] of the keys by what the codes of their
  /// keys or values are multiplied by.
  template <class T>
  static void apply_scales(const AttentionTile& tile, KeySpan keys, const float* scales,
                           float scale, float* scores) {
    if constexpr (__is_same(T, AsInt8) || __is_same(T, AsFp8)) {
      float factors[kKeyBlock];
      const int32_t count = keys.end - keys.begin;
      for (int32_t t = keys.begin; t < keys.end;) {
        const int32_t run = run_length(tile.kv, t, keys.end);
        const int64_t vector = element_of(tile.kv, t, tile.head_dim) / tile.head_dim;
        for (int32_t i = 0; i < run; ++i) {
          factors[t - keys.begin + i] =
              __is_same(T, AsInt8) ? scales[vector + i] : scale * (1.0f / kFp8Unit);
        }
        t += run;
      }
      for (int32_t i = 0; i < tile.rows * tile.heads; ++i) {
        for (int32_t t = 0; t < count; ++t) scores[i * kKeyBlock + t] *= factors[t];
      }
    }
  }

  static void reset(const AttentionTile& tile) {
    const int64_t queries = static_cast<int64_t>(tile.rows) * tile.heads;
    for (int64_t i = 0; i < queries * tile.head_dim; ++i) tile.weighted[i] = 0.0f;
    for (int64_t i = 0; i < queries; ++i) {
      tile.largest[i] = -__builtin_inff();
      tile.sum[i] = 0.0f;
    }
  }

  /// Turns the scores of one query against keys [begin, end) into weights; those of keys that it
  /// does not see become 0. Rescales what the query has gathered so far to the new maximum.
  static void weigh(const AttentionTile& tile, int64_t query, KeySpan keys, float* scores) {
    const KeySpan row = tile.visible[query / tile.heads];
    const int32_t first = (row.begin > keys.begin ? row.begin : keys.begin) - keys.begin;
    const int32_t last = (row.end < keys.end ? row.end : keys.end) - keys.begin;
    const int32_t count = keys.end - keys.begin;
    if (first >= last) {
      for (int32_t i = 0; i < count; ++i) scores[i] = 0.0f;
      return;
    }
    for (int32_t i = 0; i < first; ++i) scores[i] = -__builtin_inff();
    for (int32_t i = last; i < count; ++i) scores[i] = -__builtin_inff();
    // From here in whole registers: the buffer is a multiple of them.
    const int32_t padded = (count + S::kLanes - 1) / S::kLanes * S::kLanes;
    for (int32_t i = count; i < padded; ++i) scores[i] = -__builtin_inff();
    V top = S::load(scores);
    for (int32_t i = S::kLanes; i < padded; i += S::kLanes) top = S::max(S::load(scores + i), top);
    const float old = tile.largest[query];
    const float block_top = S::largest(top);
    const float now = block_top > old ? block_top : old;
    if (now > old) {
      const float factor = S::largest(exp<S>(S::set(old - now)));
      tile.largest[query] = now;
      tile.sum[query] *= factor;
      float* gathered = tile.weighted + query * tile.head_dim;
      const V scale = S::set(factor);
      for_lanes<S>(
          tile.head_dim,
          [&](int64_t i) { S::store(gathered + i, S::mul(S::load(gathered + i), scale)); },
          [&](int64_t i, int64_t n) {
            S::store_part(gathered + i, S::mul(S::load_part(gathered + i, n), scale), n);
          });
    }
    const V shift = S::set(now);
    V total = S::zero();
    for (int32_t i = 0; i < padded; i += S::kLanes) {
      const V e = exp<S>(S::sub(S::load(scores + i), shift));
      S::store(scores + i, e);
      total = S::add(total, e);
    }
    tile.sum[query] += S::sum(total);
  }

  // --- few queries: keys and values are read in place
  // ---------------------------------------------

  template <class T>
  static void attend_few_as(const AttentionTile& tile, float* scratch) {
    using Storage = typename T::Storage;
    const auto* key_data = reinterpret_cast<const Storage*>(tile.kv.keys);
    const auto* value_data = reinterpret_cast<const Storage*>(tile.kv.values);
    const int32_t d = tile.head_dim;
    const int32_t queries = tile.rows * tile.heads;
    float* q = scratch;                                 // [queries, d]
    float* scores = q + kMatvecRows * d;                // [queries, kKeyBlock]
    float* weights = scores + kMatvecRows * kKeyBlock;  // [kKeyBlock, queries]
    for (int32_t i = 0; i < queries; ++i) {
      const float* from = tile.q + i / tile.heads * tile.q_stride + i % tile.heads * d;
      for (int32_t j = 0; j < d; ++j) q[i * d + j] = from[j];
    }
    reset(tile);
    const KeySpan all = keys_of(tile);
    for (int32_t t0 = all.begin; t0 < all.end;) {
      // From a multiple of a register on, so that a query's weights are summed in the same order
      // whatever the first key of its tile is. Keys before t0 get no scores: no query sees them.
      KeySpan keys = {t0 / S::kLanes * S::kLanes, t0 / kKeyBlock * kKeyBlock + kKeyBlock};
      if (keys.end > all.end) keys.end = all.end;
      for (int32_t t = t0; t < keys.end;) {
        const int32_t run = run_length(tile.kv, t, keys.end);
        Products<S>::template matvec_as<T>({q, d, queries, key_data + element_of(tile.kv, t, d),
                                            tile.kv.type, d, run, d, scores + (t - keys.begin),
                                            kKeyBlock});
        t += run;
      }
      apply_scales<T>(tile, keys, tile.kv.key_scales, tile.kv.key_scale, scores);
      for (int32_t i = 0; i < queries; ++i) weigh(tile, i, keys, scores + i * kKeyBlock);
      apply_scales<T>(tile, keys, tile.kv.value_scales, tile.kv.value_scale, scores);
      pack_weights(scores, queries, keys.end - keys.begin, weights);
      for (int32_t t = t0; t < keys.end;) {
        const int32_t run = run_length(tile.kv, t, keys.end);
        gather_values<T>(tile, queries, weights + (t - keys.begin) * queries,
                         value_data + element_of(tile.kv, t, d), run);
        t += run;
      }
      t0 = keys.end;
    }
  }

  /// Keys from t on that lie one after the other.
  static int32_t run_length(const KvView& kv, int32_t t, int32_t end) {
    const int32_t rest = kv.block_size - t % kv.block_size;
    return rest < end - t ? rest : end - t;
  }

  static void pack_weights(const float* scores, int32_t queries, int32_t count, float* weights) {
    for (int32_t t = 0; t < count; ++t) {
      for (int32_t i = 0; i < queries; ++i) weights[t * queries + i] = scores[i * kKeyBlock + t];
    }
  }

  /// weighted[i] += sum_t weights[t, i] * values[t]
  template <class T>
  static void gather_values(const AttentionTile& tile, int32_t queries, const float* weights,
                            const typename T::Storage* values, int32_t count) {
    const int32_t d = tile.head_dim;
    int32_t j = 0;
    for (; j + Tile::kCols <= d; j += Tile::kCols) {
      gather_columns<T>(queries, count, weights, values + j, d, tile.weighted + j);
    }
    for (; j < d; ++j) gather_column<T>(tile, queries, weights, values + j, count, j);
  }

  template <class T>
  static void gather_columns(int32_t queries, int32_t count, const float* weights,
                             const typename T::Storage* values, int32_t d, float* to) {
    if constexpr (Tile::kRows >= kMatvecRows) {
      Tile::template tile_of<T, kMatvecRows>(queries, count, weights, values, d, to, d, true);
    } else {
      // Too few registers for all queries at once: one register of columns at a time.
      for (int half = 0; half < 2; ++half) {
        for (int32_t i = 0; i < queries; ++i) {
          float* out = to + static_cast<int64_t>(i) * d + half * S::kLanes;
          V sum = S::load(out);
          for (int32_t t = 0; t < count; ++t) {
            const V v = load_as<S, T>(values + static_cast<int64_t>(t) * d + half * S::kLanes);
            sum = S::fma(S::set(weights[t * queries + i]), v, sum);
          }
          S::store(out, sum);
        }
      }
    }
  }

  /// One column of a head size that is no multiple of the tile.
  template <class T>
  static void gather_column(const AttentionTile& tile, int32_t queries, const float* weights,
                            const typename T::Storage* values, int32_t count, int32_t column) {
    const int32_t d = tile.head_dim;
    for (int32_t i = 0; i < queries; ++i) {
      float sum = tile.weighted[static_cast<int64_t>(i) * d + column];
      for (int32_t t = 0; t < count; ++t) {
        const V v = load_part_as<S, T>(values + static_cast<int64_t>(t) * d, 1);
        sum += weights[t * queries + i] * S::sum(v);
      }
      tile.weighted[static_cast<int64_t>(i) * d + column] = sum;
    }
  }

  // --- many queries: blocks of keys and values are widened once for all of them
  // -------------------

  template <class T>
  static void attend_many_as(const AttentionTile& tile, float* scratch) {
    using Storage = typename T::Storage;
    const auto* key_data = reinterpret_cast<const Storage*>(tile.kv.keys);
    const auto* value_data = reinterpret_cast<const Storage*>(tile.kv.values);
    const int32_t d = tile.head_dim;
    const int32_t wide = padded_dim(d);
    const int32_t queries = tile.rows * tile.heads;
    float* q = scratch;                                  // [panels][d][rows of panel]
    float* keys_packed = q + kTileQueries * d;           // [d][kCols] for each kCols keys
    float* values = keys_packed + kKeyBlock * d;         // [kKeyBlock, wide]
    float* scores = values + kKeyBlock * wide;           // [queries, kKeyBlock]
    float* weights = scores + kTileQueries * kKeyBlock;  // [panels][kKeyBlock][rows of panel]
    float* edge = weights + kTileQueries * kKeyBlock;    // [kRows, kCols]
    for (int32_t i = 0; i < queries; i += Tile::kRows) {
      const int32_t rows = queries - i < Tile::kRows ? queries - i : Tile::kRows;
      for (int32_t r = 0; r < rows; ++r) {
        const int32_t query = i + r;
        const float* from = tile.q + query / tile.heads * tile.q_stride + query % tile.heads * d;
        for (int32_t j = 0; j < d; ++j) q[i * d + j * rows + r] = from[j];
      }
    }
    reset(tile);
    const KeySpan all = keys_of(tile);
    for (int32_t t0 = all.begin; t0 < all.end;) {
      KeySpan keys = {t0, t0 / kKeyBlock * kKeyBlock + kKeyBlock};
      if (keys.end > all.end) keys.end = all.end;
      const int32_t count = keys.end - keys.begin;
      for (int32_t t = 0; t < count; t += Tile::kCols) {
        const int32_t cols = count - t < Tile::kCols ? count - t : Tile::kCols;
        const Storage* row[Tile::kCols];
        for (int32_t i = 0; i < cols; ++i) {
          row[i] = key_data + element_of(tile.kv, keys.begin + t + i, d);
        }
        Tile::template pack_columns<T>(row, cols, d, keys_packed + t * d);
        for (int32_t i = 0; i < queries; i += Tile::kRows) {
          const int32_t rows = queries - i < Tile::kRows ? queries - i : Tile::kRows;
          Tile::template tile_of<AsF32>(rows, d, q + i * d, keys_packed + t * d, Tile::kCols,
                                        scores + i * kKeyBlock + t, kKeyBlock, false);
        }
      }
      apply_scales<T>(tile, keys, tile.kv.key_scales, tile.kv.key_scale, scores);
      for (int32_t i = 0; i < queries; ++i) weigh(tile, i, keys, scores + i * kKeyBlock);
      apply_scales<T>(tile, keys, tile.kv.value_scales, tile.kv.value_scale, scores);
      for (int32_t t = 0; t < count; ++t) {
        const Storage* from = value_data + element_of(tile.kv, keys.begin + t, d);
        float* to = values + t * wide;
        for_lanes<S>(
            d, [&](int64_t i) { S::store(to + i, load_as<S, T>(from + i)); },
            [&](int64_t i, int64_t n) { S::store(to + i, load_part_as<S, T>(from + i, n)); });
      }
      for (int32_t i = 0; i < queries; i += Tile::kRows) {
        const int32_t rows = queries - i < Tile::kRows ? queries - i : Tile::kRows;
        Tile::pack_rows(scores + i * kKeyBlock, kKeyBlock, rows, count, weights);
        float* to = tile.weighted + static_cast<int64_t>(i) * d;
        int32_t j = 0;
        for (; j + Tile::kCols <= d; j += Tile::kCols) {
          Tile::template tile_of<AsF32>(rows, count, weights, values + j, wide, to + j, d, true);
        }
        if (j < d) {
          Tile::template tile_of<AsF32>(rows, count, weights, values + j, wide, edge, Tile::kCols,
                                        false);
          for (int32_t r = 0; r < rows; ++r) {
            for (int32_t c = j; c < d; ++c) to[r * d + c] += edge[r * Tile::kCols + c - j];
          }
        }
      }
      t0 = keys.end;
    }
  }

  static int32_t padded_dim(int32_t d) { return (d + Tile::kCols - 1) / Tile::kCols * Tile::kCols; }

  static void attend_few(const AttentionTile& tile, float* scratch) {
    if (tile.kv.type == Element::kF32) attend_few_as<AsF32>(tile, scratch);
    if (tile.kv.type == Element::kBf16) attend_few_as<AsBf16>(tile, scratch);
    if (tile.kv.type == Element::kInt8) attend_few_as<AsInt8>(tile, scratch);
    if (tile.kv.type == Element::kFp8) attend_few_as<AsFp8>(tile, scratch);
  }

  static void attend_many(const AttentionTile& tile, float* scratch) {
    if (tile.kv.type == Element::kF32) attend_many_as<AsF32>(tile, scratch);
    if (tile.kv.type == Element::kBf16) attend_many_as<AsBf16>(tile, scratch);
    if (tile.kv.type == Element::kInt8) attend_many_as<AsInt8>(tile, scratch);
    if (tile.kv.type == Element::kFp8) attend_many_as<AsFp8>(tile, scratch);
  }

  static int64_t scratch(int64_t head_dim) {
    const int64_t d = padded_dim(static_cast<int32_t>(head_dim));
    return kTileQueries * d + 2 * kKeyBlock * d + 2 * kTileQueries * kKeyBlock +
           Tile::kRows * Tile::kCols;
  }

  static AttentionKernels table() { return {attend_few, attend_many, scratch}; }
};

}  // namespace gemma4::cpu
