// Sampling without sorting: every cut (top-k, top-p, the draw) is the place in the sorted order
// where a cumulated weight passes a target, found digit by digit of the value from histograms of
// weights.
#include <algorithm>

#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/sampling_kernels.h"

namespace gemma4::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kBins = 256;

__global__ void mask_kernel(const float* logits, int64_t vocab_size, const SampleSettings* settings,
                            const uint64_t* masks, float* work) {
  wait_for_previous();
  release_next();
  const SampleSettings& s = settings[blockIdx.y];
  const int64_t id = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (id >= vocab_size) return;
  bool allowed = true;
  if (s.num_masks >= 0) {
    allowed = id / 64 < s.num_masks && (masks[s.first_mask + id / 64] >> (id % 64) & 1) != 0;
  }
  const int64_t at = blockIdx.y * vocab_size + id;
  work[at] = allowed ? logits[at] : -INFINITY;
}

__global__ void change_kernel(int64_t vocab_size, const SampleSettings* settings,
                              const LogitChange* changes, float* work) {
  wait_for_previous();
  release_next();
  const SampleSettings& s = settings[blockIdx.y];
  const auto i = static_cast<int32_t>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= s.num_changes) return;
  const LogitChange change = changes[s.first_change + i];
  float& x = work[blockIdx.y * vocab_size + change.id];
  if (change.suppressed != 0) {
    x = -INFINITY;
    return;
  }
  if (change.seen != 0) x = x > 0.0f ? x / s.repetition_penalty : x * s.repetition_penalty;
  if (change.count > 0) {
    x -= s.frequency_penalty * static_cast<float>(change.count) + s.presence_penalty;
  }
}

// A warp a segment.
__global__ void tops_kernel(const float* work, int64_t vocab_size, int64_t segments, float* tops) {
  wait_for_previous();
  release_next();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t segment = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (segment >= segments) return;
  const float* row = work + blockIdx.y * vocab_size;
  const int64_t end = min((segment + 1) * kSegment, vocab_size);
  float top = -INFINITY;
  for (int64_t i = segment * kSegment + lane; i < end; i += 32) top = fmaxf(top, row[i]);
  top = warp_max(top);
  if (lane == 0) tops[blockIdx.y * segments + segment] = top;
}

// Larger floats have larger keys.
__device__ uint32_t key_of(float value) {
  const uint32_t bits = __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

// Values, and their ids (null: the index).
struct List {
  const float* values;
  const int32_t* ids;
  int64_t size;
};

// Which elements of a list take part, and what they weigh.
struct Weighing {
  float lowest;         // values below it do not; -inf never does
  double least_weight;  // nor what weighs less
  float top;
  double temperature;  // 0: every element weighs 1
};

__device__ double weight_of(const Weighing& how, float value) {
  if (value == -INFINITY || value < how.lowest) return -1.0;
  if (how.temperature == 0.0) return 1.0;
  const double weight =
      exp((static_cast<double>(value) - static_cast<double>(how.top)) / how.temperature);
  return weight < how.least_weight ? -1.0 : weight;
}

struct Place {
  uint32_t key;    // of the element where the target is passed
  uint32_t count;  // elements of this key
  double above;    // weight of those with larger keys
  double weight;   // of one
};

struct SharedBins {
  double weights[kBins];
  uint32_t counts[kBins];
  Place place;
  uint32_t prefix;
  int32_t chosen;
  float top;
  uint32_t num_candidates;
  int32_t result;
};

// The element, from the largest down, at which the cumulated weight reaches `target`, or exceeds it
// when `strict`; the smallest element if none does.
__device__ Place find_place(const List& list, const Weighing& how, double target, bool strict,
                            SharedBins& shared) {
  if (threadIdx.x == 0) {
    shared.prefix = 0;
    shared.place.above = 0.0;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) {
      shared.weights[b] = 0.0;
      shared.counts[b] = 0;
    }
    __syncthreads();
    const uint32_t prefix = shared.prefix;
    for (int64_t i = threadIdx.x; i < list.size; i += kThreads) {
      const float value = list.values[i];
      const uint32_t key = key_of(value);
      if (shift < 24 && key >> (shift + 8) != prefix) continue;
      const double weight = weight_of(how, value);
      if (weight < 0.0) continue;
      atomicAdd(&shared.weights[key >> shift & 255], weight);
      atomicAdd(&shared.counts[key >> shift & 255], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      double above = shared.place.above;
      int chosen = -1;
      for (int b = kBins - 1; b >= 0; --b) {
        if (shared.counts[b] == 0) continue;
        if (chosen >= 0) above += shared.weights[chosen];
        chosen = b;
        const double sum = above + shared.weights[b];
        if (strict ? sum > target : sum >= target) break;
      }
      chosen = max(chosen, 0);
      shared.place.above = above;
      shared.place.count = shared.counts[chosen];
      shared.place.weight = shared.weights[chosen] / max(shared.counts[chosen], 1u);
      shared.prefix = prefix << 8 | static_cast<uint32_t>(chosen);
      shared.place.key = shared.prefix;
    }
    __syncthreads();
  }
  const Place place = shared.place;
  __syncthreads();
  return place;
}

// The id that is `rank`-th in order among the elements of this key.
__device__ int32_t find_id(const List& list, uint32_t key, uint32_t rank, SharedBins& shared) {
  if (threadIdx.x == 0) {
    shared.prefix = 0;
    shared.place.count = rank;
  }
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int b = static_cast<int>(threadIdx.x); b < kBins; b += kThreads) shared.counts[b] = 0;
    __syncthreads();
    const uint32_t prefix = shared.prefix;
    for (int64_t i = threadIdx.x; i < list.size; i += kThreads) {
      if (key_of(list.values[i]) != key) continue;
      const auto id = static_cast<uint32_t>(list.ids != nullptr ? list.ids[i] : i);
      if (shift < 24 && id >> (shift + 8) != prefix) continue;
      atomicAdd(&shared.counts[id >> shift & 255], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      uint32_t left = shared.place.count;
      uint32_t b = 0;
      while (b < kBins - 1 && left >= shared.counts[b]) left -= shared.counts[b++];
      shared.place.count = left;
      shared.prefix = prefix << 8 | b;
    }
    __syncthreads();
  }
  return static_cast<int32_t>(shared.prefix);
}

// Sum of the weights of all that take part: the place that is never reached knows it.
__device__ double total_weight(const List& list, const Weighing& how, SharedBins& shared) {
  const Place last = find_place(list, how, INFINITY, false, shared);
  return last.above + last.weight * last.count;
}

__global__ void __launch_bounds__(kThreads)
    select_kernel(int64_t vocab_size, int64_t segments, SampleMemory memory) {
  __shared__ SharedBins shared;
  __shared__ float warp_tops[32];
  wait_for_previous();
  release_next();
  const auto row = static_cast<int64_t>(blockIdx.x);
  const SampleSettings s = memory.settings[row];
  const float* tops = memory.tops + row * segments;
  List list{memory.work + row * vocab_size, nullptr, vocab_size};

  float top = -INFINITY;
  for (int64_t i = threadIdx.x; i < segments; i += kThreads) top = fmaxf(top, tops[i]);
  top = warp_max(top);
  if (threadIdx.x % 32 == 0) warp_tops[threadIdx.x / 32] = top;
  __syncthreads();
  for (int w = 0; w < kThreads / 32; ++w) top = fmaxf(top, warp_tops[w]);
  if (top == -INFINITY) {
    if (threadIdx.x == 0) memory.tokens[row] = -1;
    return;
  }
  if (s.temperature < 1e-5f) {
    if (threadIdx.x == 0) shared.result = INT32_MAX;
    __syncthreads();
    for (int64_t g = threadIdx.x; g < segments; g += kThreads) {
      if (tops[g] != top) continue;
      for (int64_t i = g * kSegment; i < vocab_size; ++i) {
        if (list.values[i] != top) continue;
        atomicMin(&shared.result, static_cast<int32_t>(i));
        break;
      }
    }
    __syncthreads();
    if (threadIdx.x == 0) memory.tokens[row] = shared.result;
    return;
  }

  const bool by_rank = s.top_k > 0 && s.top_k < vocab_size;
  if (by_rank && s.top_k <= segments) {
    // As many segments as top_k have a logit of at least the top_k-th largest segment top, so the
    // top_k-th largest logit is no smaller.
    const Weighing ones{-INFINITY, 0.0, top, 0.0};
    const Place bound = find_place({tops, nullptr, segments}, ones, s.top_k, false, shared);
    if (threadIdx.x == 0) shared.num_candidates = 0;
    __syncthreads();
    for (int64_t g = threadIdx.x / 32; g < segments; g += kThreads / 32) {
      if (key_of(tops[g]) < bound.key) continue;
      const int64_t end = min((g + 1) * kSegment, vocab_size);
      for (int64_t i = g * kSegment + threadIdx.x % 32; i < end; i += 32) {
        const float value = list.values[i];
        if (value == -INFINITY || key_of(value) < bound.key) continue;
        const uint32_t at = atomicAdd(&shared.num_candidates, 1u);
        if (at >= kMostCandidates) continue;
        memory.candidates[row * kMostCandidates + at] = value;
        memory.candidate_ids[row * kMostCandidates + at] = static_cast<int32_t>(i);
      }
    }
    __syncthreads();  // also orders the block's writes to global memory before its reads
    if (shared.num_candidates <= kMostCandidates) {
      list = {memory.candidates + row * kMostCandidates,
              memory.candidate_ids + row * kMostCandidates, shared.num_candidates};
    }
    __syncthreads();
  }

  Weighing how{-INFINITY, 0.0, top, 0.0};
  if (by_rank) {
    const Place kth = find_place(list, how, s.top_k, false, shared);
    // The key back to its value: ties with the top_k-th stay.
    const uint32_t bits = (kth.key & 0x80000000u) != 0 ? kth.key & 0x7FFFFFFFu : ~kth.key;
    how.lowest = __uint_as_float(bits);
  }
  how.temperature = s.temperature;
  double total = total_weight(list, how, shared);
  uint32_t limited_key = 0;  // elements of this key are kept only up to `limit`
  uint32_t limit = UINT32_MAX;
  if (s.top_p < 1.0f) {
    const double target = static_cast<double>(s.top_p) * total;
    const Place last = find_place(list, how, target, false, shared);
    const double ties = last.weight > 0.0 ? ceil((target - last.above) / last.weight) : last.count;
    limited_key = last.key;
    limit = static_cast<uint32_t>(fmin(fmax(ties, 1.0), static_cast<double>(last.count)));
    total = last.above + limit * last.weight;
    const uint32_t bits = (last.key & 0x80000000u) != 0 ? last.key & 0x7FFFFFFFu : ~last.key;
    how.lowest = __uint_as_float(bits);
    if (s.min_p > 0.0f && last.weight < static_cast<double>(s.min_p)) limit = UINT32_MAX;
  }
  if (s.min_p > 0.0f) {
    how.least_weight = s.min_p;
    // When min-p cuts before top-p does, nothing of top-p's cut is left.
    if (limit == UINT32_MAX) total = total_weight(list, how, shared);
  }
  const double target = s.random * total;
  const Place drawn = find_place(list, how, target, true, shared);
  uint32_t most = drawn.count;
  if (limit != UINT32_MAX && drawn.key == limited_key) most = min(most, limit);
  const double rank =
      drawn.weight > 0.0 ? floor((target - drawn.above) / drawn.weight) : most - 1.0;
  const auto chosen = static_cast<uint32_t>(fmin(fmax(rank, 0.0), static_cast<double>(most) - 1.0));
  const int32_t id = find_id(list, drawn.key, chosen, shared);
  if (threadIdx.x == 0) memory.tokens[row] = id;
}

}  // namespace

void sample_rows(LaunchQueue& queue, const float* logits, int64_t rows, int64_t vocab_size,
                 int32_t most_changes, const SampleMemory& memory) {
  const int64_t segments = divide_up(vocab_size, kSegment);
  LaunchShape shape;
  shape.threads = 256;
  shape.grid_y = static_cast<uint32_t>(rows);
  shape.grid_x = static_cast<uint32_t>(divide_up(vocab_size, 256));
  queue.launch(mask_kernel, shape, logits, vocab_size, memory.settings, memory.masks, memory.work);
  if (most_changes > 0) {
    shape.grid_x = static_cast<uint32_t>(divide_up(most_changes, 256));
    queue.launch(change_kernel, shape, vocab_size, memory.settings, memory.changes, memory.work);
  }
  shape.grid_x = static_cast<uint32_t>(divide_up(segments, 8));
  queue.launch(tops_kernel, shape, memory.work, vocab_size, segments, memory.tops);
  LaunchShape select;
  select.threads = kThreads;
  select.grid_x = static_cast<uint32_t>(rows);
  queue.launch(select_kernel, select, vocab_size, segments, memory);
}

}  // namespace gemma4::cuda
