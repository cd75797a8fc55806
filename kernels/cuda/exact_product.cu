// Products in float32 throughout: exact activations, float32 weights, the router, and weights whose
// checkpoint defines integer activations. A warp takes one row of weights and up to 8 of x.
#include <algorithm>

#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/stored_elements.cuh"

namespace gemma4::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRows = 8;
constexpr int kRun = 8;  // columns of a lane at a time

struct Targets {
  ProductTarget t[kMaxTargets];
};

struct ExactRows {
  ProductRows rows;
  int32_t num_targets;
  int32_t aligned;
};

// Eight elements of a row from column k on, a multiple of 8: without the row's scale, and with the
// group's in `scale`.
template <WeightForm kForm>
__device__ void load_run(const StoredMatrix& w, int64_t n, int k, float (&out)[kRun],
                         float& scale) {
  const uint8_t* row = w.codes + n * packed_row_bytes(kForm, w.cols);
  scale = 1.0f;
  if constexpr (kForm == WeightForm::kF32) {
    const auto* values = reinterpret_cast<const float4*>(row) + k / 4;
    const float4 low = __ldg(values);
    const float4 high = __ldg(values + 1);
    out[0] = low.x, out[1] = low.y, out[2] = low.z, out[3] = low.w;
    out[4] = high.x, out[5] = high.y, out[6] = high.z, out[7] = high.w;
  } else if constexpr (kForm == WeightForm::kBf16) {
    const uint4 v = __ldg(reinterpret_cast<const uint4*>(row) + k / 8);
    const uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out[2 * i] = bf16_low(words[i]);
      out[2 * i + 1] = bf16_high(words[i]);
    }
  } else {
    constexpr int kBits = bits_of(kForm);
    const auto* words = reinterpret_cast<const uint32_t*>(row);
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      const uint32_t word = __ldg(words + code_word(kBits, k + i));
      const uint32_t stored = (word >> code_shift(kBits, k + i)) & ((1u << kBits) - 1u);
      out[i] = static_cast<float>(signed_code(kBits, stored));
    }
    if constexpr (kForm == WeightForm::kInt4Grouped) scale = bf16_low(group_scale_pair(w, n, k));
  }
}

template <WeightForm kForm>
__global__ void __launch_bounds__(kThreads) exact_kernel(Targets targets, ExactRows in) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int tile = static_cast<int>(blockIdx.x);
  wait_for_previous();
  release_next();
  int index = 0;
  while (index + 1 < in.num_targets && tile >= targets.t[index + 1].first_tile) ++index;
  const ProductTarget& target = targets.t[index];
  int64_t x_row = static_cast<int64_t>(blockIdx.y) * kRows;
  int64_t out_row = x_row;
  int rows = min(kRows, in.rows.m - static_cast<int>(x_row));
  StoredMatrix w = target.w;
  if (in.rows.experts != nullptr) {
    out_row = blockIdx.y;
    x_row = out_row / in.rows.x_divisor;
    rows = 1;
    w = target.table[in.rows.experts[out_row]];
  }
  const int n = (tile - target.first_tile) * kWarps + static_cast<int>(threadIdx.x) / 32;
  if (n >= w.rows) return;
  const float* x = static_cast<const float*>(in.rows.x) + x_row * in.rows.stride;
  float acc[kRows] = {};
  for (int k = lane * kRun; k < in.rows.k; k += 32 * kRun) {
    float weights[kRun];
    float scale;
    load_run<kForm>(w, n, k, weights, scale);
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      if (r >= rows) break;
      const float* from = x + r * in.rows.stride + k;
      float part = 0.0f;
      if (in.aligned != 0 && k + kRun <= in.rows.k) {
        const float4 low = *reinterpret_cast<const float4*>(from);
        const float4 high = *reinterpret_cast<const float4*>(from + 4);
        part = weights[0] * low.x + weights[1] * low.y + weights[2] * low.z + weights[3] * low.w +
               weights[4] * high.x + weights[5] * high.y + weights[6] * high.z +
               weights[7] * high.w;
      } else {
#pragma unroll
        for (int i = 0; i < kRun; ++i) {
          if (k + i < in.rows.k) part += weights[i] * from[i];
        }
      }
      acc[r] += part * scale;
    }
  }
  const float factor = row_scale(w, n);
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    if (r >= rows) break;
    const float total = warp_sum(acc[r]);
    if (lane == 0) target.out[(out_row + r) * target.out_stride + n] = total * factor;
  }
}

__global__ void narrow_kernel(const float* x, int64_t stride, int64_t rows, int64_t cols,
                              int64_t padded, uint16_t* out) {
  wait_for_previous();
  release_next();
  const int64_t pairs = padded / 2;
  auto* words = reinterpret_cast<uint32_t*>(out);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * pairs;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t k = i % pairs * 2;
    const float* from = x + i / pairs * stride + k;
    words[i] = pack_bf16(k < cols ? from[0] : 0.0f, k + 1 < cols ? from[1] : 0.0f);
  }
}

__global__ void widen_kernel(StoredMatrix w, int64_t first, int64_t count, int32_t to_float,
                             void* out) {
  wait_for_previous();
  release_next();
  const int64_t pairs = padded_cols(w.cols) / 2;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count * pairs;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    const int64_t k = i % pairs * 2;
    const float low = stored_element(w, first + i / pairs, k);
    const float high = stored_element(w, first + i / pairs, k + 1);
    if (to_float != 0) {
      static_cast<float2*>(out)[i] = make_float2(low, high);
    } else {
      static_cast<uint32_t*>(out)[i] = pack_bf16(low, high);
    }
  }
}

LaunchShape spread(int64_t items) {
  LaunchShape shape;
  shape.threads = kThreads;
  shape.grid_x = static_cast<uint32_t>(std::min<int64_t>(divide_up(items, kThreads), 4096));
  return shape;
}

}  // namespace

void exact_product(LaunchQueue& queue, std::span<const ProductTarget> targets,
                   const ProductRows& rows) {
  Targets all{};
  ExactRows in{};
  in.rows = rows;
  in.num_targets = static_cast<int32_t>(targets.size());
  in.aligned = rows.stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows.x) % 16 == 0 ? 1 : 0;
  int32_t tiles = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    all.t[i] = targets[i];
    all.t[i].first_tile = tiles;
    tiles += static_cast<int32_t>(divide_up(targets[i].w.rows, kWarps));
  }
  LaunchShape shape;
  shape.threads = kThreads;
  shape.grid_x = static_cast<uint32_t>(tiles);
  shape.grid_y = static_cast<uint32_t>(rows.experts != nullptr ? rows.m : divide_up(rows.m, kRows));
  switch (targets[0].w.form) {
    case WeightForm::kF32:
      return queue.launch(exact_kernel<WeightForm::kF32>, shape, all, in);
    case WeightForm::kBf16:
      return queue.launch(exact_kernel<WeightForm::kBf16>, shape, all, in);
    case WeightForm::kInt8:
      return queue.launch(exact_kernel<WeightForm::kInt8>, shape, all, in);
    case WeightForm::kInt4:
      return queue.launch(exact_kernel<WeightForm::kInt4>, shape, all, in);
    case WeightForm::kInt4Grouped:
      return queue.launch(exact_kernel<WeightForm::kInt4Grouped>, shape, all, in);
    case WeightForm::kInt2:
      return queue.launch(exact_kernel<WeightForm::kInt2>, shape, all, in);
  }
}

void narrow_rows(LaunchQueue& queue, const float* x, int64_t stride, int64_t rows, int64_t cols,
                 uint16_t* out) {
  const int64_t padded = padded_cols(cols);
  queue.launch(narrow_kernel, spread(rows * padded / 2), x, stride, rows, cols, padded, out);
}

void widen_weight(LaunchQueue& queue, const StoredMatrix& w, int64_t first, int64_t count,
                  bool to_float, void* out) {
  queue.launch(widen_kernel, spread(count * padded_cols(w.cols) / 2), w, first, count,
               to_float ? 1 : 0, out);
}

}  // namespace gemma4::cuda
