#include <algorithm>

#include "kernels/cuda/canvas_kernels.h"
#include "kernels/cuda/stored_elements.cuh"

namespace gemma4::cuda {
namespace {

constexpr int kJudgeWarps = 32;
constexpr int kJudgeThreads = 32 * kJudgeWarps;

struct JudgeShared {
  double totals[kJudgeWarps];    // weight of each warp's segment
  double weighted[kJudgeWarps];  // sum of weight * (logit - largest logit) of the same
  double total;
  double before;  // weight of the segments before the one that is drawn from
  float tops[kJudgeWarps];
  int32_t best_ids[kJudgeWarps];
  int32_t segment;  // that is drawn from; -1: none
  int32_t broken;
};

__device__ __forceinline__ double warp_total(double value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(0xFFFFFFFFu, value, offset);
  }
  return value;
}

__device__ __forceinline__ int32_t warp_smallest(int32_t value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    value = min(value, __shfl_xor_sync(0xFFFFFFFFu, value, offset));
  }
  return value;
}

// One warp: the first id of [begin, end) at which `before` and the weights up to it pass `wanted`.
// When the sum, made in another order than the one that chose these ids, falls short of it: the
// last id that has weight.
__device__ int32_t draw(const float* weights, int64_t begin, int64_t end, double before,
                        double wanted) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int32_t last = -1;
  for (int64_t first = begin; first < end; first += 32) {
    const int64_t id = first + lane;
    const double weight = id < end ? weights[id] : 0.0;
    double total = weight;  // of the aligned group of lanes seen so far
    double up_to = weight;  // of its lanes up to this one
    for (int offset = 1; offset < 32; offset *= 2) {
      const double other = __shfl_xor_sync(0xFFFFFFFFu, total, offset);
      if ((lane & offset) != 0) up_to += other;
      total += other;
    }
    const bool passed = weight > 0.0 && wanted < before + up_to;
    const int32_t found = warp_smallest(passed ? static_cast<int32_t>(id) : INT32_MAX);
    if (found != INT32_MAX) return found;
    const int32_t lowest = warp_smallest(weight > 0.0 ? -static_cast<int32_t>(id) : INT32_MAX);
    if (lowest != INT32_MAX) last = -lowest;
    before += total;
  }
  return last;
}

// A block a row, each warp a segment of consecutive ids.
__global__ void __launch_bounds__(kJudgeThreads)
    judge_kernel(float* logits, int64_t vocab_size, const CanvasSettings* settings,
                 const int32_t* suppressed, CanvasVerdict* verdicts) {
  __shared__ JudgeShared shared;
  wait_for_previous();
  release_next();
  const CanvasSettings s = settings[blockIdx.x];
  const auto thread = static_cast<int>(threadIdx.x);
  const int warp = thread / 32;
  const int lane = thread % 32;
  float* row = logits + blockIdx.x * vocab_size;
  const int64_t segment_size = divide_up(vocab_size, kJudgeWarps);
  const int64_t begin = min(warp * segment_size, vocab_size);
  const int64_t end = min(begin + segment_size, vocab_size);

  if (thread == 0) shared.broken = 0;
  __syncthreads();
  for (int64_t i = begin + lane; i < end; i += 32) {
    if (!(fabsf(row[i]) < INFINITY)) shared.broken = 1;
  }
  __syncthreads();
  if (shared.broken != 0) {
    if (thread == 0) verdicts[blockIdx.x] = {0, 0, 0.0f, 0};
    return;
  }
  for (int i = thread; i < s.num_suppressed; i += kJudgeThreads) {
    row[suppressed[s.first_suppressed + i]] = -INFINITY;
  }
  __syncthreads();

  float top = -INFINITY;
  int32_t best = INT32_MAX;
  for (int64_t i = begin + lane; i < end; i += 32) {
    if (best != INT32_MAX && row[i] <= top) continue;
    top = row[i];
    best = static_cast<int32_t>(i);
  }
  const float warp_top = warp_max(top);
  best = warp_smallest(top == warp_top ? best : INT32_MAX);
  if (lane == 0) {
    shared.tops[warp] = warp_top;
    shared.best_ids[warp] = best;
  }
  __syncthreads();
  top = shared.tops[0];
  best = shared.best_ids[0];
  for (int w = 1; w < kJudgeWarps; ++w) {
    if (!(shared.tops[w] > top)) continue;  // segments come in the order of ids
    top = shared.tops[w];
    best = shared.best_ids[w];
  }

  const float sharpness = 1.0f / s.temperature;
  double sum = 0.0;
  double weighted = 0.0;
  for (int64_t i = begin + lane; i < end; i += 32) {
    const float below = row[i] - top;
    const float weight = expf(below * sharpness);
    row[i] = weight;
    sum += weight;
    if (weight > 0.0f) weighted += static_cast<double>(weight) * below;
  }
  sum = warp_total(sum);
  weighted = warp_total(weighted);
  if (lane == 0) {
    shared.totals[warp] = sum;
    shared.weighted[warp] = weighted;
  }
  __syncthreads();
  if (thread == 0) {
    double total = 0.0;
    for (int w = 0; w < kJudgeWarps; ++w) total += shared.totals[w];
    shared.total = total;
    shared.segment = -1;
    double before = 0.0;
    for (int w = 0; w < kJudgeWarps; ++w) {
      if (s.random * total < before + shared.totals[w]) {
        shared.segment = w;
        shared.before = before;
        break;
      }
      before += shared.totals[w];
    }
  }
  __syncthreads();
  const double total = shared.total;
  if (warp == 0) {
    int32_t candidate = best;
    if (shared.segment >= 0) {
      const int64_t first = shared.segment * segment_size;
      candidate =
          draw(row, first, min(first + segment_size, vocab_size), shared.before, s.random * total);
    }
    if (lane == 0) {
      double all_weighted = 0.0;
      for (int w = 0; w < kJudgeWarps; ++w) all_weighted += shared.weighted[w];
      const double entropy = log(total) - all_weighted / (total * s.temperature);
      verdicts[blockIdx.x] = {best, candidate, static_cast<float>(entropy), 1};
    }
  }
  __syncthreads();  // the draw has read the weights
  const auto shrink = static_cast<float>(1.0 / total);
  for (int64_t i = begin + lane; i < end; i += 32) row[i] *= shrink;
}

// Terms below this, however many a vocabulary of 2^18 has, add up to less than the last bit of the
// float32 sum of a distribution.
constexpr float kNegligible = 0x1p-42f;
constexpr int kMixThreads = 256;
constexpr int kMixRows = 64;     // of a block
constexpr int kMixColumns = 64;  // of a block
constexpr int kMixIds = 32;      // at a time
constexpr int kMixEach = 4;      // rows and columns of a thread

// A block makes kMixRows x kMixColumns sums over its part of the vocabulary; ids that have no
// weight in any of its rows cost the reading of p alone.
__global__ void __launch_bounds__(kMixThreads)
    mixture_kernel(const float* p, int64_t rows, StoredMatrix table, float* partial) {
  __shared__ float weights[kMixIds][kMixRows + 1];
  __shared__ float embeddings[kMixIds][kMixColumns];
  __shared__ int32_t busy;
  wait_for_previous();
  release_next();
  const auto thread = static_cast<int>(threadIdx.x);
  const int64_t first_column = static_cast<int64_t>(blockIdx.x) * kMixColumns;
  const int64_t first_row = static_cast<int64_t>(blockIdx.y) * kMixRows;
  const int64_t vocab_size = table.rows;
  const int64_t part = divide_up(divide_up(vocab_size, kMixtureSplits), kMixIds) * kMixIds;
  const int64_t begin = blockIdx.z * part;
  const int64_t end = min(begin + part, vocab_size);
  const int my_row = thread / 16;
  const int my_column = thread % 16;
  float sums[kMixEach][kMixEach] = {};
  for (int64_t first = begin; first < end; first += kMixIds) {
    __syncthreads();  // the last ids' values have been used
    if (thread == 0) busy = 0;
    __syncthreads();
    for (int i = thread; i < kMixIds * kMixRows; i += kMixThreads) {
      const int64_t row = first_row + i / kMixIds;
      const int64_t id = first + i % kMixIds;
      float weight = row < rows && id < end ? p[row * vocab_size + id] : 0.0f;
      if (weight < kNegligible) weight = 0.0f;
      if (weight != 0.0f) busy = 1;
      weights[i % kMixIds][i / kMixIds] = weight;
    }
    __syncthreads();
    if (busy == 0) continue;
    for (int i = thread; i < kMixIds * kMixColumns; i += kMixThreads) {
      const int64_t id = first + i / kMixColumns;
      const int64_t column = first_column + i % kMixColumns;
      embeddings[i / kMixColumns][i % kMixColumns] =
          id < end && column < table.cols ? stored_element(table, id, column) : 0.0f;
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kMixIds; ++k) {
      float w[kMixEach];
      float e[kMixEach];
      for (int i = 0; i < kMixEach; ++i) {
        w[i] = weights[k][my_row + 16 * i];
        e[i] = embeddings[k][my_column + 16 * i];
      }
      for (int i = 0; i < kMixEach; ++i) {
        for (int j = 0; j < kMixEach; ++j) sums[i][j] += w[i] * e[j];
      }
    }
  }
  for (int i = 0; i < kMixEach; ++i) {
    const int64_t row = first_row + my_row + 16 * i;
    for (int j = 0; j < kMixEach; ++j) {
      const int64_t column = first_column + my_column + 16 * j;
      if (row >= rows || column >= table.cols) continue;
      partial[(blockIdx.z * rows + row) * table.cols + column] = sums[i][j];
    }
  }
}

__global__ void add_parts_kernel(const float* partial, int64_t count, float scale, float* out) {
  wait_for_previous();
  release_next();
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= count) return;
  float sum = 0.0f;
  for (int64_t part = 0; part < kMixtureSplits; ++part) sum += partial[part * count + i];
  out[i] = scale * sum;
}

}  // namespace

void judge_canvas(LaunchQueue& queue, Matrix logits, const CanvasSettings* settings,
                  const int32_t* suppressed, CanvasVerdict* verdicts) {
  LaunchShape shape;
  shape.grid_x = static_cast<uint32_t>(logits.rows);
  shape.threads = kJudgeThreads;
  queue.launch(judge_kernel, shape, logits.f32(), logits.cols, settings, suppressed, verdicts);
}

void embed_mixture(LaunchQueue& queue, Matrix p, const StoredMatrix& table, float scale, Matrix out,
                   float* partial, size_t partial_floats) {
  const int64_t most = std::max<int64_t>(
      static_cast<int64_t>(partial_floats) / (kMixtureSplits * out.cols) / kMixRows * kMixRows, 1);
  for (int64_t first = 0; first < out.rows; first += most) {
    const int64_t rows = std::min(most, out.rows - first);
    LaunchShape shape;
    shape.grid_x = static_cast<uint32_t>(divide_up(out.cols, kMixColumns));
    shape.grid_y = static_cast<uint32_t>(divide_up(rows, kMixRows));
    shape.grid_z = kMixtureSplits;
    shape.threads = kMixThreads;
    queue.launch(mixture_kernel, shape, p.f32() + first * p.cols, rows, table, partial);
    LaunchShape adding;
    adding.grid_x = static_cast<uint32_t>(divide_up(rows * out.cols, 256));
    adding.threads = 256;
    queue.launch(add_parts_kernel, adding, partial, rows * out.cols, scale,
                 out.f32() + first * out.cols);
  }
}

}  // namespace gemma4::cuda
