// Attention on tensor cores for heads of 256 and 512 (after Dao, "FlashAttention-2", and for few
// queries Dao et al., "Flash-Decoding").
//
// A block takes 16 query slots a query warp (see QueryTile) of one key head and passes over a part
// of their keys, which arrive in shared memory one tile ahead. A head of 512 is shared by two
// warps: each sums half of every score, one adds both halves, and each keeps half of the output.
#include <algorithm>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/kv_codes.cuh"

namespace gemma4::cuda {
namespace {

constexpr int kWarpColumns = 256;  // of the head, that a warp keeps
constexpr float kLog2E = 1.44269504088896341f;

struct FlashArguments {
  KvView kv;
  const float* q;
  float* out;
  float* partial;  // [tile][kv head][split][slots][head_dim + 2]: values, largest, sum
  int64_t q_cols;
  int32_t split_keys;
  int32_t splits;
};

template <int kHeadDim, int kQueryWarps>
constexpr int kKeyTile = kHeadDim == 256 && kQueryWarps > 1 ? 32 : 16;

template <int kHeadDim, int kQueryWarps>
constexpr int kThreads = 32 * kQueryWarps*(kHeadDim / kWarpColumns);

template <int kHeadDim, int kQueryWarps>
constexpr size_t shared_bytes() {
  constexpr size_t kKeys = kKeyTile<kHeadDim, kQueryWarps>;
  size_t bytes = (16 * kQueryWarps + 2 * 2 * kKeys) * kHeadDim * 2;
  if (kHeadDim > kWarpColumns) bytes += kQueryWarps * 16 * kKeys * sizeof(float);
  return bytes;
}

// Largest value among the four lanes that share a row.
__device__ __forceinline__ float quad_max(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xFFFFFFFFu, value, 2));
}
__device__ __forceinline__ float quad_sum(float value) {
  value += __shfl_xor_sync(0xFFFFFFFFu, value, 1);
  return value + __shfl_xor_sync(0xFFFFFFFFu, value, 2);
}

// Eight coded values as bfloat16.
__device__ __forceinline__ uint4 widen_codes(const KvArray& array, KvType type, int64_t vector,
                                             int64_t unit_index) {
  const uint2 codes = *(static_cast<const uint2*>(array.data) + unit_index);
  const float scale = vector_scale(array, type, vector);
  const auto pair = [&](uint32_t word, int shift) {
    return pack_bf16(coded_value(type, word >> shift & 0xFFu) * scale,
                     coded_value(type, word >> (shift + 8) & 0xFFu) * scale);
  };
  return make_uint4(pair(codes.x, 0), pair(codes.x, 16), pair(codes.y, 0), pair(codes.y, 16));
}

template <int kHeadDim, int kQueryWarps, bool kCoded>
__global__ void __launch_bounds__(kThreads<kHeadDim, kQueryWarps>) flash_kernel(FlashArguments in) {
  constexpr int kThreadsHere = kThreads<kHeadDim, kQueryWarps>;
  constexpr int kKeys = kKeyTile<kHeadDim, kQueryWarps>;
  constexpr int kHalves = kHeadDim / kWarpColumns;
  constexpr int kSlots = 16 * kQueryWarps;
  constexpr int kUnits = kHeadDim / 8;
  constexpr int kKeyBlocks = kKeys / 8;
  constexpr int kOutBlocks = kWarpColumns / 8;
  __shared__ int32_t begins[kSlots];
  __shared__ int32_t ends[kSlots];
  auto* queries = dynamic_shared<uint4>();        // [kSlots][kUnits]
  uint4* key_stages = queries + kSlots * kUnits;  // [2][kKeys][kUnits]
  uint4* value_stages = key_stages + 2 * kKeys * kUnits;
  auto* halves = reinterpret_cast<float*>(value_stages + 2 * kKeys * kUnits);
  const int tid = static_cast<int>(threadIdx.x);
  const int lane = tid % 32;
  const int query_warp = tid / 32 % kQueryWarps;
  const int half = tid / 32 / kQueryWarps;
  const int group = lane / 4;
  const int member = lane % 4;
  const KvView& kv = in.kv;
  const auto kv_head = static_cast<int32_t>(blockIdx.y);

  wait_for_previous();
  release_next();
  const QueryTile where =
      find_tile(kv.runs, kv.num_runs, kv.group, kSlots, static_cast<int32_t>(blockIdx.x));
  const int slots = min(kSlots, where.rows * kv.group - where.first_slot);
  const auto row_of = [&](int slot) {
    return where.first_row + (where.first_slot + slot) / kv.group;
  };
  const auto query_of = [&](int slot) {
    const int head = kv_head * kv.group + (where.first_slot + slot) % kv.group;
    return row_of(slot) * in.q_cols + static_cast<int64_t>(head) * kHeadDim;
  };
  for (int s = tid; s < kSlots; s += kThreadsHere) {
    begins[s] = s < slots ? kv.visible[2 * row_of(s)] : 0;
    ends[s] = s < slots ? kv.visible[2 * row_of(s) + 1] : 0;
  }
  for (int i = tid; i < kSlots * kUnits; i += kThreadsHere) {
    const int slot = i / kUnits;
    const int unit = i % kUnits;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (slot < slots) {
      const float* from = in.q + query_of(slot) + unit * 8;
      v = make_uint4(pack_bf16(from[0], from[1]), pack_bf16(from[2], from[3]),
                     pack_bf16(from[4], from[5]), pack_bf16(from[6], from[7]));
    }
    queries[slot * kUnits + swizzled_unit(8, slot, unit)] = v;
  }
  __syncthreads();
  int first_key = INT32_MAX;
  int end_key = 0;
  for (int s = 0; s < slots; ++s) {
    if (begins[s] >= ends[s]) continue;
    first_key = min(first_key, begins[s]);
    end_key = max(end_key, ends[s]);
  }
  // This block's part of the keys; the last part takes what is left.
  int begin_key = end_key;
  if (first_key < end_key) {
    const auto split = static_cast<int>(blockIdx.z);
    const int64_t from = first_key / kKeys * kKeys + static_cast<int64_t>(split) * in.split_keys;
    begin_key = static_cast<int>(from < end_key ? from : end_key);
    if (split + 1 < in.splits) end_key = min(end_key, begin_key + in.split_keys);
  }

  const auto load_tile = [&](int t0, int stage) {
    if (t0 < end_key) {
      uint4* keys = key_stages + stage * kKeys * kUnits;
      uint4* values = value_stages + stage * kKeys * kUnits;
      for (int i = tid; i < kKeys * kUnits; i += kThreadsHere) {
        const int key = i / kUnits;
        const int unit = i % kUnits;
        const int t = t0 + key;
        const bool valid = t >= first_key && t < end_key;
        const int64_t vector = head_vector(kv, where.first_row, valid ? t : first_key, kv_head);
        const int64_t from = vector * kUnits + unit;
        uint4* key_to = keys + key * kUnits + swizzled_unit(8, key, unit);
        uint4* value_to = values + key * kUnits + (unit ^ (key & 7));
        if constexpr (kCoded) {
          const uint4 zero = make_uint4(0, 0, 0, 0);
          *key_to = valid ? widen_codes(kv.keys, kv.type, vector, from) : zero;
          *value_to = valid ? widen_codes(kv.values, kv.type, vector, from) : zero;
        } else {
          copy_async(key_to, static_cast<const uint4*>(kv.keys.data) + from, valid);
          copy_async(value_to, static_cast<const uint4*>(kv.values.data) + from, valid);
        }
      }
    }
    commit_copies();
  };

  float acc[kOutBlocks][4];
#pragma unroll
  for (int b = 0; b < kOutBlocks; ++b) acc[b][0] = acc[b][1] = acc[b][2] = acc[b][3] = 0.0f;
  float largest[2] = {-INFINITY, -INFINITY};  // of rows group and group + 8
  float sums[2] = {0.0f, 0.0f};
  const int my_slot[2] = {query_warp * 16 + group, query_warp * 16 + group + 8};

  load_tile(begin_key, 0);
  int stage = 0;
  for (int t0 = begin_key; t0 < end_key; t0 += kKeys, stage ^= 1) {
    load_tile(t0 + kKeys, stage ^ 1);
    wait_copies<1>();
    __syncthreads();
    const uint4* keys = key_stages + stage * kKeys * kUnits;
    const uint4* values = value_stages + stage * kKeys * kUnits;

    float scores[kKeyBlocks][4];
#pragma unroll
    for (int b = 0; b < kKeyBlocks; ++b) {
      scores[b][0] = scores[b][1] = scores[b][2] = scores[b][3] = 0.0f;
    }
#pragma unroll
    for (int chunk = 0; chunk < kWarpColumns / 32; ++chunk) {
      const int unit = (half * (kWarpColumns / 32) + chunk) * 4 + member;
      const uint4 low = queries[my_slot[0] * kUnits + swizzled_unit(8, my_slot[0], unit)];
      const uint4 high = queries[my_slot[1] * kUnits + swizzled_unit(8, my_slot[1], unit)];
      const uint32_t first[4] = {low.x, high.x, low.y, high.y};
      const uint32_t second[4] = {low.z, high.z, low.w, high.w};
#pragma unroll
      for (int b = 0; b < kKeyBlocks; ++b) {
        const int key = b * 8 + group;
        const uint4 k = keys[key * kUnits + swizzled_unit(8, key, unit)];
        mma_bf16(scores[b], first, k.x, k.y);
        mma_bf16(scores[b], second, k.z, k.w);
      }
    }
    if constexpr (kHalves > 1) {
      float* sums_of_halves = halves + query_warp * 16 * kKeys;
      const auto exchange = [&](bool store, bool add) {
#pragma unroll
        for (int b = 0; b < kKeyBlocks; ++b) {
#pragma unroll
          for (int reg = 0; reg < 4; ++reg) {
            float& at = sums_of_halves[(b * 4 + reg) * 32 + lane];
            if (add) scores[b][reg] += at;
            if (store) at = scores[b][reg];
            if (!store && !add) scores[b][reg] = at;
          }
        }
      };
      if (half == 1) exchange(true, false);
      __syncthreads();
      if (half == 0) exchange(true, true);
      __syncthreads();
      if (half == 1) exchange(false, false);
    }
#pragma unroll
    for (int b = 0; b < kKeyBlocks; ++b) {
#pragma unroll
      for (int reg = 0; reg < 4; ++reg) {
        const int t = t0 + b * 8 + c_col(lane, reg);
        const int slot = my_slot[reg / 2];
        if (t < begins[slot] || t >= ends[slot] || t >= end_key) scores[b][reg] = -INFINITY;
      }
    }
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float top = largest[r];
#pragma unroll
      for (int b = 0; b < kKeyBlocks; ++b) {
        top = fmaxf(top, fmaxf(scores[b][2 * r], scores[b][2 * r + 1]));
      }
      top = quad_max(top);
      factor[r] = largest[r] == -INFINITY ? 0.0f : exp2f((largest[r] - top) * kLog2E);
      largest[r] = top;
      float total = 0.0f;
#pragma unroll
      for (int b = 0; b < kKeyBlocks; ++b) {
#pragma unroll
        for (int i = 2 * r; i < 2 * r + 2; ++i) {
          const float score = scores[b][i];
          scores[b][i] = score == -INFINITY ? 0.0f : exp2f((score - top) * kLog2E);
          total += scores[b][i];
        }
      }
      sums[r] = sums[r] * factor[r] + total;  // of this lane's keys; added up at the end
    }
#pragma unroll
    for (int b = 0; b < kOutBlocks; ++b) {
#pragma unroll
      for (int reg = 0; reg < 4; ++reg) acc[b][reg] *= factor[reg / 2];
    }
#pragma unroll
    for (int kb = 0; kb < kKeys / 16; ++kb) {
      const uint32_t weights[4] = {pack_bf16(scores[2 * kb][0], scores[2 * kb][1]),
                                   pack_bf16(scores[2 * kb][2], scores[2 * kb][3]),
                                   pack_bf16(scores[2 * kb + 1][0], scores[2 * kb + 1][1]),
                                   pack_bf16(scores[2 * kb + 1][2], scores[2 * kb + 1][3])};
      const int key = kb * 16 + lane % 16;
#pragma unroll
      for (int b = 0; b < kOutBlocks; b += 2) {
        const int unit = half * kOutBlocks + b + lane / 16;
        uint32_t v[4];
        load_transposed(v, values + key * kUnits + (unit ^ (key & 7)));
        mma_bf16(acc[b], weights, v[0], v[1]);
        mma_bf16(acc[b + 1], weights, v[2], v[3]);
      }
    }
    __syncthreads();  // the next turn writes over these keys and values
  }
  wait_copies<0>();

#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const float total = quad_sum(sums[r]);
    const int slot = my_slot[r];
    if (slot >= slots) continue;
    float* to = in.out + query_of(slot);
    float factor = total > 0.0f ? 1.0f / total : 0.0f;
    if (in.splits > 1) {
      const int64_t index =
          ((static_cast<int64_t>(blockIdx.x) * kv.num_kv_heads + kv_head) * in.splits +
           blockIdx.z) *
              kSlots +
          slot;
      to = in.partial + index * (kHeadDim + 2);
      factor = 1.0f;
      if (half == 0 && member == 0) {
        to[kHeadDim] = largest[r];
        to[kHeadDim + 1] = total;
      }
      if (largest[r] == -INFINITY) continue;  // merge_kernel skips it
    }
#pragma unroll
    for (int b = 0; b < kOutBlocks; ++b) {
      const int column = (half * kOutBlocks + b) * 8 + 2 * member;
      *reinterpret_cast<float2*>(to + column) =
          make_float2(acc[b][2 * r] * factor, acc[b][2 * r + 1] * factor);
    }
  }
}

// A block a query slot and key head: out = sum_z exp(largest_z - top) values_z / sum of sums.
__global__ void merge_kernel(FlashArguments in, int32_t tile_slots) {
  wait_for_previous();
  release_next();
  const KvView& kv = in.kv;
  const auto tile = static_cast<int32_t>(blockIdx.x) / tile_slots;
  const auto slot = static_cast<int32_t>(blockIdx.x) % tile_slots;
  const auto kv_head = static_cast<int32_t>(blockIdx.y);
  const QueryTile where = find_tile(kv.runs, kv.num_runs, kv.group, tile_slots, tile);
  if (where.first_slot + slot >= where.rows * kv.group) return;
  const int row = where.first_row + (where.first_slot + slot) / kv.group;
  const int head = kv_head * kv.group + (where.first_slot + slot) % kv.group;
  const int64_t stride = static_cast<int64_t>(tile_slots) * (kv.head_dim + 2);
  const float* parts =
      in.partial + (static_cast<int64_t>(tile) * kv.num_kv_heads + kv_head) * in.splits * stride +
      static_cast<int64_t>(slot) * (kv.head_dim + 2);
  float top = -INFINITY;
  for (int z = 0; z < in.splits; ++z) top = fmaxf(top, parts[z * stride + kv.head_dim]);
  float total = 0.0f;
  for (int z = 0; z < in.splits; ++z) {
    const float largest = parts[z * stride + kv.head_dim];
    if (largest == -INFINITY) continue;
    total += parts[z * stride + kv.head_dim + 1] * exp2f((largest - top) * kLog2E);
  }
  float* to = in.out + row * in.q_cols + static_cast<int64_t>(head) * kv.head_dim;
  for (int j = static_cast<int>(threadIdx.x); j < kv.head_dim; j += static_cast<int>(blockDim.x)) {
    float sum = 0.0f;
    for (int z = 0; z < in.splits; ++z) {
      const float largest = parts[z * stride + kv.head_dim];
      if (largest == -INFINITY) continue;
      sum += parts[z * stride + j] * exp2f((largest - top) * kLog2E);
    }
    to[j] = total > 0.0f ? sum / total : 0.0f;
  }
}

template <int kHeadDim, int kQueryWarps>
void run(LaunchQueue& queue, FlashArguments in, const StepArrays& step, int32_t most_keys,
         size_t partial_count) {
  constexpr int32_t kSlots = 16 * kQueryWarps;
  LaunchShape shape;
  shape.threads = kThreads<kHeadDim, kQueryWarps>;
  shape.grid_x = 0;
  for (const RowRun& run : step.runs()) {
    shape.grid_x += static_cast<uint32_t>(tiles_of_run(run.count, in.kv.group, kSlots));
  }
  shape.grid_y = static_cast<uint32_t>(in.kv.num_kv_heads);
  shape.shared_bytes = static_cast<uint32_t>(shared_bytes<kHeadDim, kQueryWarps>());
  const int64_t blocks = int64_t{shape.grid_x} * shape.grid_y;
  const auto room = static_cast<int64_t>(partial_count / (kSlots * (kHeadDim + 2)));
  const KeySplits cut =
      split_keys(blocks, most_keys, kKeyTile<kHeadDim, kQueryWarps>,
                 queue.device().multiprocessors(), room / std::max<int64_t>(blocks, 1));
  in.split_keys = cut.keys;
  in.splits = cut.splits;
  shape.grid_z = static_cast<uint32_t>(cut.splits);
  if (in.kv.type == KvType::kBf16) {
    queue.launch(flash_kernel<kHeadDim, kQueryWarps, false>, shape, in);
  } else {
    queue.launch(flash_kernel<kHeadDim, kQueryWarps, true>, shape, in);
  }
  if (cut.splits == 1) return;
  LaunchShape merge;
  merge.threads = 128;
  merge.grid_x = shape.grid_x * kSlots;
  merge.grid_y = shape.grid_y;
  queue.launch(merge_kernel, merge, in, kSlots);
}

}  // namespace

bool flash_attention_fits(const KvView& kv) {
  return kv.type != KvType::kF32 && (kv.head_dim == 256 || kv.head_dim == 512);
}

void flash_attention(LaunchQueue& queue, const KvView& kv, const StepArrays& step, LayerKind kind,
                     Matrix q, Matrix out, float* partial, size_t partial_count) {
  FlashArguments in{};
  in.kv = kv;
  in.q = q.f32();
  in.out = out.f32();
  in.partial = partial;
  in.q_cols = q.cols;
  bool few = true;  // every run fits one tile of 16 slots
  for (const RowRun& run : step.runs()) few &= run.count * kv.group <= 16;
  const int32_t most_keys = step.most_keys(kind);
  if (kv.head_dim == 256) {
    if (few) return run<256, 1>(queue, in, step, most_keys, partial_count);
    return run<256, 4>(queue, in, step, most_keys, partial_count);
  }
  if (few) return run<512, 1>(queue, in, step, most_keys, partial_count);
  run<512, 2>(queue, in, step, most_keys, partial_count);
}

}  // namespace gemma4::cuda
