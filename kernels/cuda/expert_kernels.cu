#include <algorithm>

#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/expert_kernels.h"

namespace gemma4::cuda {
namespace {

constexpr int kGroupThreads = 1024;

// A warp a row. Each turn takes the best of those that come after the last one taken.
__global__ void choose_kernel(const float* scores, int64_t rows, int32_t num_experts, int32_t top_k,
                              float shrink, const float* per_expert_scale, int32_t* experts,
                              float* weights) {
  wait_for_previous();
  release_next();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  const float* from = scores + row * num_experts;
  float last = INFINITY;
  int last_expert = -1;
  float first = 0.0f;
  float total = 0.0f;
  for (int k = 0; k < top_k; ++k) {
    float best = -INFINITY;
    int best_expert = num_experts;
    for (int e = lane; e < num_experts; e += 32) {
      const float score = from[e];
      const bool left = score < last || (score == last && e > last_expert);
      if (left && (score > best || (score == best && e < best_expert))) {
        best = score;
        best_expert = e;
      }
    }
    for (int offset = 16; offset > 0; offset /= 2) {
      const float score = __shfl_xor_sync(0xFFFFFFFFu, best, offset);
      const int expert = __shfl_xor_sync(0xFFFFFFFFu, best_expert, offset);
      if (score > best || (score == best && expert < best_expert)) {
        best = score;
        best_expert = expert;
      }
    }
    if (best_expert == num_experts) best_expert = k;  // scores that are no numbers
    if (k == 0) first = best;
    last = best;
    last_expert = best_expert;
    const float weight = expf((best - first) * shrink);
    total += weight;
    if (lane == 0) {
      experts[row * top_k + k] = best_expert;
      weights[row * top_k + k] = weight;
    }
  }
  if (lane != 0) return;
  for (int64_t i = row * top_k; i < (row + 1) * top_k; ++i) {
    weights[i] = weights[i] / total * per_expert_scale[experts[i]];
  }
}

// One block.
__global__ void __launch_bounds__(kGroupThreads)
    group_kernel(const int32_t* experts, int32_t assignments, int32_t num_experts, int32_t height,
                 int32_t* counts, int32_t* order, int32_t* place, int32_t* tiles) {
  wait_for_previous();
  release_next();
  int32_t* next = counts + num_experts;  // where the next row of an expert goes
  for (int e = static_cast<int>(threadIdx.x); e < num_experts; e += kGroupThreads) counts[e] = 0;
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < assignments; i += kGroupThreads) {
    atomicAdd(&counts[experts[i]], 1);
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    int32_t begin = 0;
    int32_t count = 0;
    for (int e = 0; e < num_experts; ++e) {
      next[e] = begin;
      for (int first = 0; first < counts[e]; first += height) {
        int32_t* tile = tiles + 1 + 3 * count++;
        tile[0] = e;
        tile[1] = begin + first;
        tile[2] = min(height, counts[e] - first);
      }
      begin += counts[e];
    }
    tiles[0] = count;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < assignments; i += kGroupThreads) {
    const int32_t at = atomicAdd(&next[experts[i]], 1);
    order[at] = i;
    place[i] = at;
  }
}

__global__ void mix_kernel(const float* results, const float* weights, const int32_t* place,
                           int32_t top_k, float* out, int64_t cols) {
  wait_for_previous();
  release_next();
  const int64_t first = static_cast<int64_t>(blockIdx.x) * top_k;
  float* to = out + blockIdx.x * cols;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    float sum = 0.0f;
    for (int k = 0; k < top_k; ++k) {
      const int64_t row = place != nullptr ? place[first + k] : first + k;
      sum += weights[first + k] * results[row * cols + i];
    }
    to[i] = sum;
  }
}

}  // namespace

void choose_experts(LaunchQueue& queue, const float* scores, int64_t rows, int32_t num_experts,
                    int32_t top_k, float shrink, const float* per_expert_scale, int32_t* experts,
                    float* weights) {
  LaunchShape shape;
  shape.threads = 128;
  shape.grid_x = static_cast<uint32_t>(divide_up(rows, 4));
  queue.launch(choose_kernel, shape, scores, rows, num_experts, top_k, shrink, per_expert_scale,
               experts, weights);
}

void group_by_expert(LaunchQueue& queue, const int32_t* experts, int32_t assignments,
                     int32_t num_experts, int32_t height, int32_t* counts, int32_t* order,
                     int32_t* place, int32_t* tiles) {
  LaunchShape shape;
  shape.threads = kGroupThreads;
  queue.launch(group_kernel, shape, experts, assignments, num_experts, height, counts, order, place,
               tiles);
}

void mix_experts(LaunchQueue& queue, const float* results, const float* weights,
                 const int32_t* place, int32_t top_k, Matrix out) {
  LaunchShape shape;
  shape.threads = 256;
  shape.grid_x = static_cast<uint32_t>(out.rows);
  queue.launch(mix_kernel, shape, results, weights, place, top_k, out.f32(), out.cols);
}

}  // namespace gemma4::cuda
