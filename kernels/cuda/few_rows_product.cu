// Products of up to 16 rows: decoding. A block of 8 warps takes 8 weight rows (the tensor core's
// n) at a time; its warps take turns along k, and their sums are added in a fixed order.
#include <algorithm>
#include <array>

#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/stored_elements.cuh"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kAhead = 4;                    // pieces of weight that a warp has under way
constexpr int kWholeBytes = 44 * 1024;       // shared memory of activations at most
constexpr int kReduceFloats = kWarps * 128;  // a 16 x 8 result of each warp

struct Targets {
  ProductTarget t[kMaxTargets];
};

struct FewRows {
  ProductRows rows;
  int32_t num_targets;
  int32_t total_tiles;
  int32_t chunk;    // columns in shared memory at a time, a multiple of 128
  int32_t aligned;  // x may be read 16 bytes at a time
};

// Columns [k0, k0 + chunk) of the rows, as bfloat16 in swizzled units; zeros past the end.
template <int kStream>
__device__ void load_activations(const FewRows& in, int64_t first_row, int k0, uint4* shared) {
  const int units = in.chunk / 8;
  const int rows = in.rows.experts != nullptr ? 1 : in.rows.m;
  for (int i = static_cast<int>(threadIdx.x); i < rows * units; i += kThreads) {
    const int row = i / units;
    const int unit = i % units;
    const int k = k0 + unit * 8;
    const int64_t at = (first_row + row) * in.rows.stride + k;
    uint4 v = make_uint4(0, 0, 0, 0);
    if (in.rows.narrow != 0) {
      if (k < padded_cols(in.rows.k)) {
        v = *reinterpret_cast<const uint4*>(static_cast<const uint16_t*>(in.rows.x) + at);
      }
    } else {
      const float* x = static_cast<const float*>(in.rows.x) + at;
      float f[8];
      if (in.aligned != 0 && k + 8 <= in.rows.k) {
        const float4 low = *reinterpret_cast<const float4*>(x);
        const float4 high = *reinterpret_cast<const float4*>(x + 4);
        f[0] = low.x, f[1] = low.y, f[2] = low.z, f[3] = low.w;
        f[4] = high.x, f[5] = high.y, f[6] = high.z, f[7] = high.w;
      } else {
#pragma unroll
        for (int j = 0; j < 8; ++j) f[j] = k + j < in.rows.k ? x[j] : 0.0f;
      }
      v = make_uint4(pack_bf16(f[0], f[1]), pack_bf16(f[2], f[3]), pack_bf16(f[4], f[5]),
                     pack_bf16(f[6], f[7]));
    }
    shared[row * units + swizzled_unit(kStream, row, unit)] = v;
  }
}

template <WeightForm kForm, int kRows>
__global__ void __launch_bounds__(kThreads) few_rows_kernel(Targets targets, FewRows in) {
  constexpr int kStream = lane_codes(kForm);
  constexpr int kPiece = 4 * kStream;  // columns that a warp takes at a time
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int group = lane / 4;  // of four lanes: a row of weights, and one of activations
  const int member = lane % 4;
  const int units = in.chunk / 8;
  const int rows = in.rows.experts != nullptr ? 1 : in.rows.m;
  const int padded = static_cast<int>(padded_cols(in.rows.k));
  auto* activations = dynamic_shared<uint4>();
  auto* sums = reinterpret_cast<float*>(activations + rows * units);

  wait_for_previous();
  release_next();
  const int assignment = static_cast<int>(blockIdx.y);
  const int expert = in.rows.experts != nullptr ? in.rows.experts[assignment] : 0;
  const int64_t first_row = in.rows.experts != nullptr ? assignment / in.rows.x_divisor : 0;
  bool loaded = false;
  for (int tile = static_cast<int>(blockIdx.x); tile < in.total_tiles;
       tile += static_cast<int>(gridDim.x)) {
    int index = 0;
    while (index + 1 < in.num_targets && tile >= targets.t[index + 1].first_tile) ++index;
    const ProductTarget& target = targets.t[index];
    const StoredMatrix w = target.table != nullptr ? target.table[expert] : target.w;
    const int first_n = (tile - target.first_tile) * 8;
    const int n = min(first_n + group, w.rows - 1);
    const uint8_t* codes = w.codes + n * packed_row_bytes(kForm, w.cols);
    float acc[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (int k0 = 0; k0 < padded; k0 += in.chunk) {
      if (!loaded || in.chunk < padded) {
        __syncthreads();
        load_activations<kStream>(in, first_row, k0, activations);
        __syncthreads();
        loaded = true;
      }
      const int end = min(in.chunk, padded - k0);
      const int pieces = (end + kPiece - 1) / kPiece;
      for (int p = warp; p < pieces; p += kWarps * kAhead) {
        uint32_t words[kAhead][4];
        uint32_t scale[kAhead];
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
          const int k = (p + kWarps * j) * kPiece + member * kStream;
          words[j][0] = words[j][1] = words[j][2] = words[j][3] = 0;
          scale[j] = 0;
          if (k < end) {
            load_lane<kForm>(codes, k0 + k, words[j]);
            if constexpr (kForm == WeightForm::kInt4Grouped) {
              scale[j] = group_scale_pair(w, n, k0 + k);
            }
          }
        }
#pragma unroll
        for (int j = 0; j < kAhead; ++j) {
          if (p + kWarps * j >= pieces) break;
          const int first_unit = ((p + kWarps * j) * kPiece + member * kStream) / 8;
#pragma unroll
          for (int u = 0; u < kStream / 8; ++u) {
            uint4 low = make_uint4(0, 0, 0, 0);
            uint4 high = make_uint4(0, 0, 0, 0);
            if (group < rows) {
              low = activations[group * units + swizzled_unit(kStream, group, first_unit + u)];
            }
            if (kRows > 8 && group + 8 < rows) {
              high = activations[(group + 8) * units +
                                 swizzled_unit(kStream, group + 8, first_unit + u)];
            }
            const uint32_t first[4] = {low.x, high.x, low.y, high.y};
            mma_bf16(acc, first, code_pair<kForm>(words[j], 4 * u, scale[j]),
                     code_pair<kForm>(words[j], 4 * u + 1, scale[j]));
            const uint32_t second[4] = {low.z, high.z, low.w, high.w};
            mma_bf16(acc, second, code_pair<kForm>(words[j], 4 * u + 2, scale[j]),
                     code_pair<kForm>(words[j], 4 * u + 3, scale[j]));
          }
        }
      }
    }
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) sums[warp * 128 + lane * 4 + reg] = acc[reg];
    __syncthreads();
    if (threadIdx.x < 128) {
      const int at = static_cast<int>(threadIdx.x);
      const int row = c_row(at / 4, at % 4);
      const int column = first_n + c_col(at / 4, at % 4);
      float total = 0.0f;
#pragma unroll
      for (int i = 0; i < kWarps; ++i) total += sums[i * 128 + at];
      if (row < rows && column < w.rows) {
        const int64_t out_row = in.rows.experts != nullptr ? assignment : row;
        target.out[out_row * target.out_stride + column] = total * row_scale(w, column);
      }
    }
    __syncthreads();
  }
}

template <WeightForm kForm>
void run(LaunchQueue& queue, const Targets& targets, const FewRows& in, const LaunchShape& shape) {
  const int rows = in.rows.experts != nullptr ? 1 : in.rows.m;
  if (rows <= 8) {
    queue.launch(few_rows_kernel<kForm, 8>, shape, targets, in);
  } else {
    queue.launch(few_rows_kernel<kForm, kFewRows>, shape, targets, in);
  }
}

}  // namespace

void few_rows_product(LaunchQueue& queue, std::span<const ProductTarget> targets,
                      const ProductRows& rows) {
  Targets all{};
  FewRows in{};
  in.rows = rows;
  in.num_targets = static_cast<int32_t>(targets.size());
  for (size_t i = 0; i < targets.size(); ++i) {
    all.t[i] = targets[i];
    all.t[i].first_tile = in.total_tiles;
    in.total_tiles += static_cast<int32_t>(divide_up(targets[i].w.rows, 8));
  }
  const int32_t together = rows.experts != nullptr ? 1 : rows.m;
  const auto whole = static_cast<int32_t>(round_up(rows.k, 128));
  // Otherwise a multiple of 1024, so that all warps have work in every chunk.
  in.chunk = whole * together * 2 <= kWholeBytes
                 ? whole
                 : std::max(1024, kWholeBytes / (together * 2) / 1024 * 1024);
  in.aligned = rows.stride % 4 == 0 && reinterpret_cast<uintptr_t>(rows.x) % 16 == 0 ? 1 : 0;
  LaunchShape shape;
  shape.threads = kThreads;
  shape.grid_x = static_cast<uint32_t>(
      std::min<int32_t>(in.total_tiles, 4 * queue.device().multiprocessors()));
  shape.grid_y = rows.experts != nullptr ? static_cast<uint32_t>(rows.m) : 1;
  shape.shared_bytes =
      static_cast<uint32_t>(together * in.chunk * 2 + kReduceFloats * sizeof(float));
  switch (targets[0].w.form) {
    case WeightForm::kBf16:
      return run<WeightForm::kBf16>(queue, all, in, shape);
    case WeightForm::kInt8:
      return run<WeightForm::kInt8>(queue, all, in, shape);
    case WeightForm::kInt4:
      return run<WeightForm::kInt4>(queue, all, in, shape);
    case WeightForm::kInt4Grouped:
      return run<WeightForm::kInt4Grouped>(queue, all, in, shape);
    case WeightForm::kInt2:
      return run<WeightForm::kInt2>(queue, all, in, shape);
    case WeightForm::kF32:
      break;
  }
  throw Error(ErrorKind::kInternal, "float32 weights have no narrow product", "CUDA");
}

}  // namespace gemma4::cuda
