#include <algorithm>

#include "kernels/cuda/stored_elements.cuh"
#include "kernels/cuda/tower_kernels.h"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int kHeadColumns = 8;  // of a lane, in relative attention: heads up to 256

LaunchShape spread(int64_t items) {
  LaunchShape shape;
  shape.threads = 256;
  shape.grid_x = static_cast<uint32_t>(std::min<int64_t>(divide_up(items, 256), 4096));
  return shape;
}

__device__ int64_t thread_number() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ int64_t thread_count() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

__global__ void clamp_kernel(const float* x, int64_t count, float low, float high, float* out) {
  wait_for_previous();
  release_next();
  for (int64_t i = thread_number(); i < count; i += thread_count()) {
    out[i] = fminf(fmaxf(x[i], low), high);
  }
}

__global__ void clamp_bias_kernel(float* values, int64_t rows, int64_t cols, float low, float high,
                                  const float* bias) {
  wait_for_previous();
  release_next();
  for (int64_t i = thread_number(); i < rows * cols; i += thread_count()) {
    const float value = fminf(fmaxf(values[i], low), high);
    values[i] = bias != nullptr ? value + bias[i % cols] : value;
  }
}

__global__ void table_rows_kernel(float* x, int64_t count, int64_t cols, StoredMatrix table,
                                  const int32_t* rows) {
  wait_for_previous();
  release_next();
  for (int64_t i = thread_number(); i < count; i += thread_count()) {
    const int64_t row = i / cols;
    x[i] += stored_element(table, rows[2 * row], i % cols) +
            stored_element(table, rows[2 * row + 1], i % cols);
  }
}

__global__ void pool_kernel(const float* x, int64_t columns, int32_t kernel, float scale,
                            const float* bias, const float* factor, float* out, int64_t out_rows,
                            int64_t cols) {
  wait_for_previous();
  release_next();
  const int64_t wide = columns / kernel;
  for (int64_t i = thread_number(); i < out_rows * cols; i += thread_count()) {
    const int64_t o = i / cols;
    float sum = 0.0f;
    for (int64_t dy = 0; dy < kernel; ++dy) {
      for (int64_t dx = 0; dx < kernel; ++dx) {
        sum += x[((o / wide * kernel + dy) * columns + o % wide * kernel + dx) * cols + i % cols];
      }
    }
    float value = sum / static_cast<float>(kernel * kernel) * scale;
    if (factor != nullptr) value = (value - bias[i % cols]) * factor[i % cols];
    out[i] = value;
  }
}

__global__ void taps_kernel(const float* x, int64_t times, int64_t frequencies, int64_t channels,
                            int64_t out_positions, int64_t out_frequencies, float* taps) {
  wait_for_previous();
  release_next();
  const int64_t width = 9 * channels;
  for (int64_t i = thread_number(); i < out_positions * width; i += thread_count()) {
    const int64_t position = i / width;
    const int64_t tap = i % width / channels;
    const int64_t time = 2 * (position / out_frequencies) - 1 + tap / 3;
    const int64_t frequency = 2 * (position % out_frequencies) - 1 + tap % 3;
    const bool inside = time >= 0 && time < times && frequency >= 0 && frequency < frequencies;
    taps[i] = inside ? x[(time * frequencies + frequency) * channels + i % channels] : 0.0f;
  }
}

// A warp a row and head.
__global__ void relative_kernel(const float* q, const float* k, const float* v, int64_t rows,
                                int32_t heads, int32_t head_dim, int32_t left_keys,
                                const float* query_scale, float key_scale,
                                const float* relative_keys, float softcap,
                                const int32_t* clip_begin, float* out) {
  wait_for_previous();
  release_next();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (index >= rows * heads) return;
  const int64_t t = index / heads;
  const int64_t cols = static_cast<int64_t>(heads) * head_dim;
  const int64_t column = index % heads * head_dim;
  float query[kHeadColumns];
  float acc[kHeadColumns];
#pragma unroll
  for (int c = 0; c < kHeadColumns; ++c) {
    const int i = lane + 32 * c;
    query[c] = i < head_dim ? q[t * cols + column + i] * query_scale[i] : 0.0f;
    acc[c] = 0.0f;
  }
  float largest = -INFINITY;
  float total = 0.0f;
  const int64_t first = max(static_cast<int64_t>(clip_begin[t]), t - left_keys + 1);
  for (int64_t j = first; j <= t; ++j) {
    float score = 0.0f;
#pragma unroll
    for (int c = 0; c < kHeadColumns; ++c) {
      const int i = lane + 32 * c;
      if (i >= head_dim) continue;
      const float key = k[j * cols + column + i] * key_scale;
      score += query[c] * (key + relative_keys[(t - j) * cols + column + i]);
    }
    score = softcap * tanhf(warp_sum(score) / softcap);
    const float top = fmaxf(largest, score);
    const float factor = largest == -INFINITY ? 0.0f : expf(largest - top);
    const float weight = expf(score - top);
    total = total * factor + weight;
    largest = top;
#pragma unroll
    for (int c = 0; c < kHeadColumns; ++c) {
      const int i = lane + 32 * c;
      if (i < head_dim) acc[c] = acc[c] * factor + weight * v[j * cols + column + i];
    }
  }
#pragma unroll
  for (int c = 0; c < kHeadColumns; ++c) {
    const int i = lane + 32 * c;
    if (i < head_dim) out[t * cols + column + i] = acc[c] / total;
  }
}

// A block a row; the convolution's sums pass through `out`, each thread its own columns.
__global__ void light_conv_kernel(const float* x, int64_t channels, int32_t taps,
                                  const float* kernel, const float* norm, float eps,
                                  const int32_t* clip_begin, float* out) {
  __shared__ float shared[33];
  wait_for_previous();
  release_next();
  const auto t = static_cast<int64_t>(blockIdx.x);
  float* row = out + t * channels;
  float squares = 0.0f;
  for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
    float sum = 0.0f;
    for (int j = 0; j < taps; ++j) {
      const int64_t from = t - taps + 1 + j;
      if (from < clip_begin[t]) continue;
      const float* at = x + from * 2 * channels + c;
      sum += kernel[j * channels + c] * at[0] * sigmoid(at[channels]);
    }
    row[c] = sum;
    squares += sum * sum;
  }
  const float scale = 1.0f / sqrtf(block_sum(squares, shared) / static_cast<float>(channels) + eps);
  for (int64_t c = threadIdx.x; c < channels; c += blockDim.x) {
    const float value = row[c] * scale * norm[c];
    row[c] = value * sigmoid(value);
  }
}

}  // namespace

void clamp_values(LaunchQueue& queue, const float* x, int64_t count, float low, float high,
                  float* out) {
  queue.launch(clamp_kernel, spread(count), x, count, low, high, out);
}

void clamp_and_bias(LaunchQueue& queue, Matrix values, float low, float high, const float* bias) {
  queue.launch(clamp_bias_kernel, spread(values.rows * values.cols), values.f32(), values.rows,
               values.cols, low, high, bias);
}

void add_table_rows(LaunchQueue& queue, Matrix x, const StoredMatrix& table, const int32_t* rows) {
  queue.launch(table_rows_kernel, spread(x.rows * x.cols), x.f32(), x.rows * x.cols, x.cols, table,
               rows);
}

void pool(LaunchQueue& queue, Matrix x, int64_t columns, int32_t kernel, float scale,
          const float* bias, const float* factor, Matrix out) {
  queue.launch(pool_kernel, spread(out.rows * out.cols), x.f32(), columns, kernel, scale, bias,
               factor, out.f32(), out.rows, out.cols);
}

void gather_taps(LaunchQueue& queue, Matrix x, int32_t channels, int64_t out_times,
                 int64_t out_frequencies, float* taps) {
  const int64_t positions = out_times * out_frequencies;
  queue.launch(taps_kernel, spread(positions * 9 * channels), x.f32(), x.rows, x.cols / channels,
               channels, positions, out_frequencies, taps);
}

void relative_attention(LaunchQueue& queue, Matrix q, Matrix k, Matrix v,
                        const RelativeAttention& attention, const int32_t* clip_begin, Matrix out) {
  if (attention.head_dim > 32 * kHeadColumns) {
    throw Error(ErrorKind::kModel, "head size is larger than the GPU kernels know",
                std::to_string(attention.head_dim), "use --device cpu");
  }
  const auto heads = static_cast<int32_t>(q.cols / attention.head_dim);
  LaunchShape shape;
  shape.threads = 128;
  shape.grid_x = static_cast<uint32_t>(divide_up(q.rows * heads, 4));
  queue.launch(relative_kernel, shape, q.f32(), k.f32(), v.f32(), q.rows, heads, attention.head_dim,
               attention.left_keys, attention.query_scale.data, attention.key_scale,
               attention.relative_keys.data, attention.softcap, clip_begin, out.f32());
}

void light_conv(LaunchQueue& queue, Matrix x, const LightConv& conv, const int32_t* clip_begin,
                Matrix out) {
  LaunchShape shape;
  shape.threads = 256;
  shape.grid_x = static_cast<uint32_t>(out.rows);
  queue.launch(light_conv_kernel, shape, x.f32(), out.cols, conv.taps, conv.kernel.data,
               conv.norm.data, conv.eps, clip_begin, out.f32());
}

}  // namespace gemma4::cuda
