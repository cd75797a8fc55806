// Attention in float32 for any head size, and the storing of keys and values.
//
// A block takes 16 query slots of one key head (see QueryTile) and passes over their keys in tiles
// that begin at multiples of the tile, so that a query's sums do not depend on its neighbours.
#include <algorithm>
#include <string>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/kv_codes.cuh"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kSlots = 16;
constexpr int kMostKeys = 32;
constexpr int kColumns = kMostHeadDim / kThreads;  // output columns of a thread

__device__ float kv_value(const KvArray& array, KvType type, int64_t vector, int d, int j) {
  const int64_t i = vector * d + j;
  if (type == KvType::kF32) return static_cast<const float*>(array.data)[i];
  if (type == KvType::kBf16) return bf16_value(static_cast<const uint16_t*>(array.data)[i]);
  return coded_value(type, static_cast<const uint8_t*>(array.data)[i]) *
         vector_scale(array, type, vector);
}

// A head vector, by a warp.
__device__ void store_vector(const KvArray& array, KvType type, int64_t vector, int d,
                             const float* head) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float scale = __uint_as_float(array.scale_bits);
  if (type == KvType::kI8) {
    float largest = 0.0f;
    for (int j = lane; j < d; j += 32) largest = fmaxf(largest, fabsf(head[j]));
    scale = fmaxf(warp_max(largest) / 127.0f, 1e-6f);
    if (lane == 0) array.scales[vector] = scale;
  }
  const float inverse = 1.0f / scale;
  for (int j = lane; j < d; j += 32) {
    const int64_t i = vector * d + j;
    const float x = head[j];
    if (type == KvType::kF32) static_cast<float*>(array.data)[i] = x;
    if (type == KvType::kBf16) static_cast<uint16_t*>(array.data)[i] = to_bf16_bits(x);
    if (type == KvType::kI8) {  // rounds half away from zero
      const float code = x * inverse;
      static_cast<int8_t*>(array.data)[i] =
          static_cast<int8_t>(fminf(fmaxf(code + copysignf(0.5f, code), -128.0f), 127.0f));
    }
    if (type == KvType::kF8E4M3) static_cast<uint8_t*>(array.data)[i] = to_fp8(x / scale);
  }
}

// A warp a head; blockIdx.y: keys or values.
__global__ void append_kernel(KvView kv, int64_t rows, const float* k, const float* v) {
  wait_for_previous();
  release_next();
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (index >= rows * kv.num_kv_heads) return;
  const auto row = static_cast<int32_t>(index / kv.num_kv_heads);
  const auto head = static_cast<int32_t>(index % kv.num_kv_heads);
  const int64_t vector = head_vector(kv, row, kv.positions[row], head);
  if (blockIdx.y == 0) {
    store_vector(kv.keys, kv.type, vector, kv.head_dim, k + index * kv.head_dim);
  } else {
    store_vector(kv.values, kv.type, vector, kv.head_dim, v + index * kv.head_dim);
  }
}

__global__ void __launch_bounds__(kThreads)
    plain_kernel(KvView kv, const float* q, int64_t q_cols, float* out, int32_t tile_keys) {
  __shared__ int32_t begins[kSlots];
  __shared__ int32_t ends[kSlots];
  __shared__ float largest[kSlots];
  __shared__ float sums[kSlots];
  __shared__ float shrink[kSlots];
  __shared__ int64_t vectors[kMostKeys];
  const int d = kv.head_dim;
  auto* queries = dynamic_shared<float>();     // [kSlots][d]
  float* tile = queries + kSlots * d;          // [tile_keys][d + 1]: keys, then values
  float* scores = tile + tile_keys * (d + 1);  // [kSlots][kMostKeys]
  const int tid = static_cast<int>(threadIdx.x);
  const int lane = tid % 32;
  const auto kv_head = static_cast<int32_t>(blockIdx.y);

  wait_for_previous();
  release_next();
  const QueryTile where =
      find_tile(kv.runs, kv.num_runs, kv.group, kSlots, static_cast<int32_t>(blockIdx.x));
  const int slots = min(kSlots, where.rows * kv.group - where.first_slot);
  const auto row_of = [&](int slot) {
    return where.first_row + (where.first_slot + slot) / kv.group;
  };
  const auto query_of = [&](int slot) {  // offset of a slot's head in q and out
    const int head = kv_head * kv.group + (where.first_slot + slot) % kv.group;
    return row_of(slot) * q_cols + static_cast<int64_t>(head) * d;
  };
  if (tid < kSlots) {
    begins[tid] = tid < slots ? kv.visible[2 * row_of(tid)] : 0;
    ends[tid] = tid < slots ? kv.visible[2 * row_of(tid) + 1] : 0;
    largest[tid] = -INFINITY;
    sums[tid] = 0.0f;
  }
  for (int i = tid; i < kSlots * d; i += kThreads) {
    queries[i] = i / d < slots ? q[query_of(i / d) + i % d] : 0.0f;
  }
  __syncthreads();
  int first_key = INT32_MAX;
  int end_key = 0;
  for (int s = 0; s < slots; ++s) {
    if (begins[s] >= ends[s]) continue;
    first_key = min(first_key, begins[s]);
    end_key = max(end_key, ends[s]);
  }
  float acc[kSlots][kColumns];
#pragma unroll
  for (int s = 0; s < kSlots; ++s) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) acc[s][c] = 0.0f;
  }
  for (int t0 = first_key / tile_keys * tile_keys; t0 < end_key; t0 += tile_keys) {
    if (tid < tile_keys) {
      const int t = t0 + tid;
      vectors[tid] =
          t >= first_key && t < end_key ? head_vector(kv, where.first_row, t, kv_head) : -1;
    }
    __syncthreads();
    const auto load = [&](const KvArray& array) {
      for (int i = tid; i < tile_keys * d; i += kThreads) {
        const int64_t vector = vectors[i / d];
        tile[i / d * (d + 1) + i % d] =
            vector < 0 ? 0.0f : kv_value(array, kv.type, vector, d, i % d);
      }
    };
    load(kv.keys);
    __syncthreads();
    for (int i = tid; i < kSlots * tile_keys; i += kThreads) {
      const int slot = i / tile_keys;
      const int key = i % tile_keys;
      float score = 0.0f;
      for (int j = 0; j < d; ++j) score += queries[slot * d + j] * tile[key * (d + 1) + j];
      const bool seen = t0 + key >= begins[slot] && t0 + key < ends[slot];
      scores[slot * kMostKeys + key] = seen ? score : -INFINITY;
    }
    __syncthreads();
    for (int slot = tid / 32; slot < kSlots; slot += kThreads / 32) {
      const float score = lane < tile_keys ? scores[slot * kMostKeys + lane] : -INFINITY;
      const float before = largest[slot];
      const float top = fmaxf(before, warp_max(score));
      const float weight = score == -INFINITY ? 0.0f : expf(score - top);
      const float total = warp_sum(weight);
      const float factor = before == -INFINITY ? 0.0f : expf(before - top);
      if (lane < tile_keys) scores[slot * kMostKeys + lane] = weight;
      __syncwarp();
      if (lane == 0) {
        shrink[slot] = factor;
        sums[slot] = sums[slot] * factor + total;
        largest[slot] = top;
      }
    }
    load(kv.values);
    __syncthreads();
#pragma unroll
    for (int s = 0; s < kSlots; ++s) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int j = tid + c * kThreads;
        if (j >= d) continue;
        float sum = acc[s][c] * shrink[s];
        for (int t = 0; t < tile_keys; ++t) {
          sum += scores[s * kMostKeys + t] * tile[t * (d + 1) + j];
        }
        acc[s][c] = sum;
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int s = 0; s < kSlots; ++s) {
    if (s >= slots) break;
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int j = tid + c * kThreads;
      if (j < d) out[query_of(s) + j] = sums[s] > 0.0f ? acc[s][c] / sums[s] : 0.0f;
    }
  }
}

}  // namespace

void append_kv(LaunchQueue& queue, const KvView& kv, Matrix k, Matrix v) {
  LaunchShape shape;
  shape.threads = 128;
  shape.grid_x = static_cast<uint32_t>(divide_up(k.rows * kv.num_kv_heads, 4));
  shape.grid_y = 2;
  queue.launch(append_kernel, shape, kv, k.rows, k.f32(), v.f32());
}

void plain_attention(LaunchQueue& queue, const KvView& kv, const StepArrays& step, Matrix q,
                     Matrix out) {
  if (kv.head_dim > kMostHeadDim) {
    throw Error(ErrorKind::kModel, "head size is larger than the GPU kernels know",
                std::to_string(kv.head_dim), "use --device cpu");
  }
  const auto bytes = [&](int keys) {
    return static_cast<size_t>(kSlots * kv.head_dim + keys * (kv.head_dim + 1) +
                               kSlots * kMostKeys) *
           sizeof(float);
  };
  int32_t keys = kMostKeys;
  while (keys > 4 && bytes(keys) + 1024 > queue.device().max_shared_bytes()) keys /= 2;
  LaunchShape shape;
  shape.threads = kThreads;
  shape.grid_x = 0;
  for (const RowRun& run : step.runs()) {
    shape.grid_x += static_cast<uint32_t>(tiles_of_run(run.count, kv.group, kSlots));
  }
  shape.grid_y = static_cast<uint32_t>(kv.num_kv_heads);
  shape.shared_bytes = static_cast<uint32_t>(bytes(keys));
  queue.launch(plain_kernel, shape, kv, q.f32(), q.cols, out.f32(), keys);
}

}  // namespace gemma4::cuda
