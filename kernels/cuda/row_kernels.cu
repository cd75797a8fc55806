#include <algorithm>

#include "kernels/cuda/row_kernels.h"
#include "kernels/cuda/stored_elements.cuh"

namespace gemma4::cuda {
namespace {

constexpr int kWarpsPerBlock = 4;
constexpr int kGathered = 64;  // rows whose numbers fit a kernel's arguments

/// Threads for one row.
uint32_t row_threads(int64_t cols) { return cols <= 512 ? 128 : cols <= 2048 ? 256 : 512; }

LaunchShape a_block_a_row(int64_t rows, int64_t cols) {
  LaunchShape shape;
  shape.grid_x = static_cast<uint32_t>(rows);
  shape.threads = row_threads(cols);
  return shape;
}

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

__global__ void lookup_kernel(StoredMatrix table, const int32_t* ids, float scale, float* out,
                              int64_t cols) {
  wait_for_previous();
  release_next();
  const int32_t id = ids[blockIdx.x];
  const int64_t row = id >= 0 && id < table.rows ? id : 0;
  float* to = out + blockIdx.x * cols;
  for (int64_t k = threadIdx.x; k < cols; k += blockDim.x) {
    to[k] = stored_element(table, row, k) * scale;
  }
}

// 1 / rms of a row whose squares sum to `squares`.
__device__ float inverse_rms(float squares, int64_t cols, float eps) {
  return 1.0f / sqrtf(squares / static_cast<float>(cols) + eps);
}

__global__ void rms_norm_kernel(const float* x, const float* weight, float eps, float* out,
                                int64_t cols) {
  __shared__ float shared[33];
  wait_for_previous();
  release_next();
  const float* from = x + blockIdx.x * cols;
  float* to = out + blockIdx.x * cols;
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) squares += from[i] * from[i];
  const float scale = inverse_rms(block_sum(squares, shared), cols, eps);
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    to[i] = from[i] * scale * (weight != nullptr ? weight[i] : 1.0f);
  }
}

// x = (x + post(branch)) * scale, and what follows. Each thread reads again only what it wrote.
__global__ void close_block_kernel(float* x, const float* branch, const float* post_norm, float eps,
                                   float scale, int32_t norm_branch, const float* next_norm,
                                   float* normed, int64_t cols) {
  __shared__ float shared[33];
  wait_for_previous();
  release_next();
  float* row = x + blockIdx.x * cols;
  const float* add = branch + blockIdx.x * cols;
  float factor = 1.0f;
  if (norm_branch != 0) {
    float squares = 0.0f;
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) squares += add[i] * add[i];
    factor = inverse_rms(block_sum(squares, shared), cols, eps);
  }
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    const float post = post_norm != nullptr ? post_norm[i] : 1.0f;
    const float value = (row[i] + add[i] * factor * post) * scale;
    row[i] = value;
    squares += value * value;
  }
  if (normed == nullptr) return;
  factor = inverse_rms(block_sum(squares, shared), cols, eps);
  float* to = normed + blockIdx.x * cols;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    to[i] = row[i] * factor * (next_norm != nullptr ? next_norm[i] : 1.0f);
  }
}

__global__ void layer_norm_kernel(const float* x, const float* weight, const float* bias, float eps,
                                  int32_t rectify, float* out, int64_t cols) {
  __shared__ float shared[33];
  wait_for_previous();
  release_next();
  const float* from = x + blockIdx.x * cols;
  float* to = out + blockIdx.x * cols;
  float sum = 0.0f;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) sum += from[i];
  const float mean = block_sum(sum, shared) / static_cast<float>(cols);
  float squares = 0.0f;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    squares += (from[i] - mean) * (from[i] - mean);
  }
  const float scale = inverse_rms(block_sum(squares, shared), cols, eps);
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    const float value = (from[i] - mean) * scale * weight[i] + (bias != nullptr ? bias[i] : 0.0f);
    to[i] = rectify != 0 ? fmaxf(value, 0.0f) : value;
  }
}

__global__ void rotation_kernel(const int32_t* positions, int64_t rows, const float* frequency,
                                int32_t pairs, float* cosine, float* sine) {
  wait_for_previous();
  release_next();
  for (int64_t i = thread_number(); i < rows * pairs; i += thread_count()) {
    // The angle is a float32 product in the official implementation.
    const float angle = static_cast<float>(positions[i / pairs]) * frequency[i % pairs];
    sincosf(angle, sine + i, cosine + i);
  }
}

// A warp a head.
__global__ void head_norm_rotate_kernel(float* x, int64_t rows, int32_t heads, int32_t head_dim,
                                        const float* weight, float eps, int32_t parts,
                                        const float* cosine, const float* sine) {
  wait_for_previous();
  release_next();
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kWarpsPerBlock + threadIdx.x / 32;
  if (index >= rows * heads) return;
  float* head = x + index * head_dim;
  float squares = 0.0f;
  for (int i = lane; i < head_dim; i += 32) squares += head[i] * head[i];
  const float scale = inverse_rms(warp_sum(squares), head_dim, eps);
  if (cosine == nullptr) {
    for (int i = lane; i < head_dim; i += 32) {
      head[i] = head[i] * scale * (weight != nullptr ? weight[i] : 1.0f);
    }
    return;
  }
  __syncwarp();  // a lane writes what others have read
  const int pairs = head_dim / parts / 2;
  const int64_t angles = index / heads * parts * pairs;
  for (int i = lane; i < parts * pairs; i += 32) {
    const int a_at = i / pairs * 2 * pairs + i % pairs;
    const int b_at = a_at + pairs;
    const float a = head[a_at] * scale * (weight != nullptr ? weight[a_at] : 1.0f);
    const float b = head[b_at] * scale * (weight != nullptr ? weight[b_at] : 1.0f);
    const float c = cosine[angles + i];
    const float s = sine[angles + i];
    head[a_at] = a * c - b * s;
    head[b_at] = b * c + a * s;
  }
}

__global__ void gate_kernel(int32_t silu, const float* gate, const float* up, int64_t up_stride,
                            int64_t rows, int64_t cols, int64_t padded, float* wide,
                            uint16_t* narrow) {
  wait_for_previous();
  release_next();
  const int64_t width = narrow != nullptr ? padded : cols;
  for (int64_t i = thread_number(); i < rows * width; i += thread_count()) {
    const int64_t row = i / width;
    const int64_t col = i % width;
    float value = 0.0f;
    if (col < cols) {
      const float z = gate[row * cols + col];
      value = silu != 0 ? z * sigmoid(z) : gelu(z) * up[row * up_stride + col];
      if (wide != nullptr) wide[row * cols + col] = value;
    }
    if (narrow != nullptr) narrow[i] = to_bf16_bits(value);
  }
}

__global__ void cap_kernel(float* values, int64_t count, float softcap) {
  wait_for_previous();
  release_next();
  for (int64_t i = thread_number(); i < count; i += thread_count()) {
    values[i] = softcap * tanhf(values[i] / softcap);
  }
}

struct RowNumbers {
  int32_t rows[kGathered];
};

__global__ void gather_kernel(const float* src, RowNumbers numbers, float* dst, int64_t cols) {
  wait_for_previous();
  release_next();
  const float* from = src + numbers.rows[blockIdx.x] * cols;
  float* to = dst + blockIdx.x * cols;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) to[i] = from[i];
}

__global__ void scatter_kernel(const float* src, const int32_t* rows, float* dst, int64_t cols) {
  wait_for_previous();
  release_next();
  const float* from = src + blockIdx.x * cols;
  float* to = dst + rows[blockIdx.x] * cols;
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) to[i] = from[i];
}

// A block a part of a row; out holds the projection.
__global__ void combine_per_layer_kernel(float* out, StoredMatrix table, const int32_t* ids,
                                         int64_t first_column, float table_scale, const float* norm,
                                         int32_t width, float eps) {
  __shared__ float shared[33];
  wait_for_previous();
  release_next();
  const int32_t id = ids[blockIdx.x];
  const int64_t row = id >= 0 && id < table.rows ? id : 0;
  const int64_t column = static_cast<int64_t>(blockIdx.y) * width;
  float* to = out + blockIdx.x * static_cast<int64_t>(gridDim.y) * width + column;
  float squares = 0.0f;
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) {
    squares += to[i] * to[i];
  }
  const float scale = inverse_rms(block_sum(squares, shared), width, eps);
  for (int i = static_cast<int>(threadIdx.x); i < width; i += static_cast<int>(blockDim.x)) {
    const float looked_up = stored_element(table, row, first_column + column + i) * table_scale;
    to[i] = (to[i] * scale * norm[i] + looked_up) * 0.70710678118654752f;
  }
}

__global__ void round_activations_kernel(const float* x, int64_t cols, float scale, float* out) {
  __shared__ float shared[32];
  wait_for_previous();
  release_next();
  const float* from = x + blockIdx.x * cols;
  float* to = out + blockIdx.x * cols;
  if (scale == 0.0f) {
    float largest = 0.0f;
    for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
      largest = fmaxf(largest, fabsf(from[i]));
    }
    largest = warp_max(largest);
    if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = largest;
    __syncthreads();
    for (unsigned w = 0; w < blockDim.x / 32; ++w) largest = fmaxf(largest, shared[w]);
    scale = largest / 127.5f;
    if (scale == 0.0f) scale = 1.1920929e-7f;  // float32's epsilon
  }
  for (int64_t i = threadIdx.x; i < cols; i += blockDim.x) {
    to[i] = rintf(fminf(fmaxf(from[i] / scale, -128.0f), 127.0f)) * scale;
  }
}

}  // namespace

void lookup_rows(LaunchQueue& queue, const StoredMatrix& table, const int32_t* ids, float scale,
                 Matrix out) {
  queue.launch(lookup_kernel, a_block_a_row(out.rows, out.cols), table, ids, scale, out.f32(),
               out.cols);
}

void rms_norm(LaunchQueue& queue, Matrix x, const float* weight, float eps, Matrix out) {
  queue.launch(rms_norm_kernel, a_block_a_row(x.rows, x.cols), x.f32(), weight, eps, out.f32(),
               x.cols);
}

void close_block(LaunchQueue& queue, Matrix x, Matrix branch, const float* post_norm, float eps,
                 float scale, const float* next_norm, Matrix normed) {
  queue.launch(close_block_kernel, a_block_a_row(x.rows, x.cols), x.f32(), branch.f32(), post_norm,
               eps, scale, 1, next_norm, normed.f32(), x.cols);
}

void add_residual(LaunchQueue& queue, Matrix x, Matrix branch, const float* next_norm, float eps,
                  Matrix normed) {
  queue.launch(close_block_kernel, a_block_a_row(x.rows, x.cols), x.f32(), branch.f32(), nullptr,
               eps, 1.0f, 0, next_norm, normed.f32(), x.cols);
}

void layer_norm(LaunchQueue& queue, Matrix x, const float* weight, const float* bias, float eps,
                bool rectify, Matrix out) {
  queue.launch(layer_norm_kernel, a_block_a_row(x.rows, x.cols), x.f32(), weight, bias, eps,
               rectify ? 1 : 0, out.f32(), x.cols);
}

void rotation(LaunchQueue& queue, const int32_t* positions, int64_t rows, const float* frequency,
              int32_t pairs, float* cosine, float* sine) {
  queue.launch(rotation_kernel, spread(rows * pairs), positions, rows, frequency, pairs, cosine,
               sine);
}

void head_norm_rotate(LaunchQueue& queue, Matrix x, int32_t head_dim, const float* weight,
                      float eps, int32_t parts, const float* cosine, const float* sine) {
  const int64_t heads = x.cols / head_dim;
  LaunchShape shape;
  shape.threads = 32 * kWarpsPerBlock;
  shape.grid_x = static_cast<uint32_t>(divide_up(x.rows * heads, kWarpsPerBlock));
  queue.launch(head_norm_rotate_kernel, shape, x.f32(), x.rows, static_cast<int32_t>(heads),
               head_dim, weight, eps, parts, cosine, sine);
}

void apply_gate(LaunchQueue& queue, Gate gate_kind, const float* gate, const float* up,
                int64_t up_stride, int64_t rows, int64_t cols, const GateOutput& out) {
  queue.launch(gate_kernel, spread(rows * padded_cols(cols)), gate_kind == Gate::kSilu ? 1 : 0,
               gate, up, up_stride, rows, cols, padded_cols(cols), out.wide, out.narrow);
}

void cap_values(LaunchQueue& queue, float* values, int64_t count, float softcap) {
  queue.launch(cap_kernel, spread(count), values, count, softcap);
}

void gather_rows(LaunchQueue& queue, Matrix src, std::span<const int32_t> rows, Matrix dst) {
  for (size_t first = 0; first < rows.size(); first += kGathered) {
    const auto part = rows.subspan(first, std::min<size_t>(kGathered, rows.size() - first));
    RowNumbers numbers{};
    std::copy(part.begin(), part.end(), numbers.rows);
    queue.launch(gather_kernel, a_block_a_row(static_cast<int64_t>(part.size()), src.cols),
                 src.f32(), numbers, dst.row(static_cast<int64_t>(first)), src.cols);
  }
}

void scatter_rows(LaunchQueue& queue, const float* src, const int32_t* rows, int64_t count,
                  Matrix dst) {
  queue.launch(scatter_kernel, a_block_a_row(count, dst.cols), src, rows, dst.f32(), dst.cols);
}

void combine_per_layer(LaunchQueue& queue, Matrix out, const StoredMatrix& table,
                       const int32_t* ids, int64_t first_column, float table_scale,
                       const float* norm, int32_t width, float eps) {
  LaunchShape shape;
  shape.grid_x = static_cast<uint32_t>(out.rows);
  shape.grid_y = static_cast<uint32_t>(out.cols / width);
  shape.threads = 128;
  queue.launch(combine_per_layer_kernel, shape, out.f32(), table, ids, first_column, table_scale,
               norm, width, eps);
}

void round_activations(LaunchQueue& queue, const float* x, int64_t rows, int64_t cols, float scale,
                       float* out) {
  queue.launch(round_activations_kernel, a_block_a_row(rows, cols), x, cols, scale, out);
}

}  // namespace gemma4::cuda
