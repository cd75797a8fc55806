// Products of many rows on the tensor cores, weights of every form: activations pass through
// shared memory in three stages, weights go from memory to registers and are widened there
// (after Frantar et al., "MARLIN: Mixed-Precision Auto-Regressive Parallel Inference").
//
// A block of 8 warps computes a tile of 64 or 128 rows of x and 64 of the weight; each warp 32 rows
// of x and 16 or 32 of the weight.
#include <algorithm>

#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/stored_elements.cuh"
#include "lib/base/error.h"

namespace gemma4::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kStages = 3;
constexpr int kStageColumns = 128;
constexpr int kStageUnits = kStageColumns / 8;
constexpr int kTileColumns = 64;

struct TileArguments {
  ProductTarget target;
  ProductRows rows;
  ExpertTiles experts;
  int32_t splits;
  int32_t reserved;
  float* partial;  // [splits][m][n] when splits > 1
};

template <WeightForm kForm, int kTileRows>
__global__ void __launch_bounds__(kThreads, 1) tile_kernel(TileArguments in) {
  constexpr int kStream = lane_codes(kForm);
  constexpr int kPieces = kStageColumns / (4 * kStream);
  constexpr int kWarpRows = kTileRows / 32;  // warps along the rows of x
  constexpr int kBlocks = kTileRows / 32;    // of 8 weight rows, of a warp
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_m = warp % kWarpRows;
  const int warp_n = warp / kWarpRows;
  const int group = lane / 4;
  const int member = lane % 4;
  auto* stages = dynamic_shared<uint4>();  // [kStages][kTileRows][kStageUnits]

  wait_for_previous();
  release_next();
  int first = static_cast<int>(blockIdx.x) * kTileRows;
  int rows = min(kTileRows, in.rows.m - first);
  StoredMatrix w = in.target.w;
  if (in.experts.tiles != nullptr) {
    if (static_cast<int>(blockIdx.x) >= in.experts.tiles[0]) return;
    const int32_t* tile = in.experts.tiles + 1 + 3 * blockIdx.x;
    w = in.target.table[tile[0]];
    first = tile[1];
    rows = tile[2];
  }
  const auto* x = static_cast<const uint16_t*>(in.rows.x);
  const int padded = static_cast<int>(padded_cols(in.rows.k));
  const int all_stages = (padded + kStageColumns - 1) / kStageColumns;
  const int share = (all_stages + in.splits - 1) / in.splits;
  const int begin = static_cast<int>(blockIdx.z) * share;
  const int end = min(all_stages, begin + share);
  const int first_n = static_cast<int>(blockIdx.y) * kTileColumns + warp_n * kBlocks * 8;

  const auto load_stage = [&](int stage) {
    if (stage < end) {
      uint4* to = stages + stage % kStages * kTileRows * kStageUnits;
#pragma unroll
      for (int i = 0; i < kTileRows * kStageUnits / kThreads; ++i) {
        const int at = static_cast<int>(threadIdx.x) + i * kThreads;
        const int row = at / kStageUnits;
        const int unit = at % kStageUnits;
        const int k = stage * kStageColumns + unit * 8;
        const bool valid = row < rows && k < padded;
        int64_t source = first + row;
        if (valid && in.experts.row_map != nullptr) {
          source = in.experts.row_map[first + row] / in.rows.x_divisor;
        }
        copy_async(to + row * kStageUnits + swizzled_unit(kStream, row, unit),
                   valid ? x + source * in.rows.stride + k : x, valid);
      }
    }
    commit_copies();
  };

  uint32_t words[kBlocks][4];
  uint32_t scale[kBlocks];
  const auto load_weights = [&](int piece) {  // pieces of all stages are numbered through
    const int k = piece * 4 * kStream + member * kStream;
#pragma unroll
    for (int b = 0; b < kBlocks; ++b) {
      const int n = first_n + b * 8 + group;
      words[b][0] = words[b][1] = words[b][2] = words[b][3] = 0;
      scale[b] = 0;
      if (n < w.rows && k < padded) {
        load_lane<kForm>(w.codes + n * packed_row_bytes(kForm, w.cols), k, words[b]);
        if constexpr (kForm == WeightForm::kInt4Grouped) scale[b] = group_scale_pair(w, n, k);
      }
    }
  };

  float acc[2][kBlocks][4];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
#pragma unroll
    for (int b = 0; b < kBlocks; ++b)
      acc[i][b][0] = acc[i][b][1] = acc[i][b][2] = acc[i][b][3] = 0.0f;
  }

  load_stage(begin);
  load_stage(begin + 1);
  load_weights(begin * kPieces);
  for (int stage = begin; stage < end; ++stage) {
    wait_copies<1>();
    __syncthreads();
    load_stage(stage + 2);
    const uint4* from = stages + stage % kStages * kTileRows * kStageUnits;
#pragma unroll
    for (int piece = 0; piece < kPieces; ++piece) {
      uint32_t now[kBlocks][4];
      uint32_t now_scale[kBlocks];
#pragma unroll
      for (int b = 0; b < kBlocks; ++b) {
        now_scale[b] = scale[b];
#pragma unroll
        for (int i = 0; i < 4; ++i) now[b][i] = words[b][i];
      }
      load_weights(stage * kPieces + piece + 1);  // under way while this piece is computed
#pragma unroll
      for (int u = 0; u < kStream / 8; ++u) {
        const int unit = (piece * 4 + member) * (kStream / 8) + u;
        uint4 low[2];
        uint4 high[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          const int row = warp_m * 32 + i * 16 + group;
          low[i] = from[row * kStageUnits + swizzled_unit(kStream, row, unit)];
          high[i] = from[(row + 8) * kStageUnits + swizzled_unit(kStream, row + 8, unit)];
        }
#pragma unroll
        for (int b = 0; b < kBlocks; ++b) {
          const uint32_t b0 = code_pair<kForm>(now[b], 4 * u, now_scale[b]);
          const uint32_t b1 = code_pair<kForm>(now[b], 4 * u + 1, now_scale[b]);
          const uint32_t b2 = code_pair<kForm>(now[b], 4 * u + 2, now_scale[b]);
          const uint32_t b3 = code_pair<kForm>(now[b], 4 * u + 3, now_scale[b]);
#pragma unroll
          for (int i = 0; i < 2; ++i) {
            const uint32_t a0[4] = {low[i].x, high[i].x, low[i].y, high[i].y};
            mma_bf16(acc[i][b], a0, b0, b1);
            const uint32_t a1[4] = {low[i].z, high[i].z, low[i].w, high[i].w};
            mma_bf16(acc[i][b], a1, b2, b3);
          }
        }
      }
    }
  }
  wait_copies<0>();

  float* out = in.target.out;
  int64_t stride = in.target.out_stride;
  if (in.splits > 1) {
    stride = w.rows;
    out = in.partial + static_cast<int64_t>(blockIdx.z) * in.rows.m * stride;
  }
#pragma unroll
  for (int b = 0; b < kBlocks; ++b) {
#pragma unroll
    for (int reg = 0; reg < 4; ++reg) {
      const int n = first_n + b * 8 + c_col(lane, reg);
      if (n >= w.rows) continue;
      const float factor = row_scale(w, n);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int row = warp_m * 32 + i * 16 + c_row(lane, reg);
        if (row < rows) out[(first + row) * stride + n] = acc[i][b][reg] * factor;
      }
    }
  }
}

__global__ void add_splits_kernel(const float* partial, int32_t splits, int32_t m, int32_t n,
                                  float* out, int64_t stride) {
  wait_for_previous();
  release_next();
  const int64_t size = static_cast<int64_t>(m) * n;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    float total = 0.0f;
    for (int z = 0; z < splits; ++z) total += partial[z * size + i];
    out[i / n * stride + i % n] = total;
  }
}

template <WeightForm kForm>
void run(LaunchQueue& queue, TileArguments in, int32_t rows_of_tile, size_t partial_count) {
  LaunchShape shape;
  shape.threads = kThreads;
  shape.grid_x = in.experts.tiles != nullptr
                     ? static_cast<uint32_t>(in.experts.most_tiles)
                     : static_cast<uint32_t>(divide_up(in.rows.m, rows_of_tile));
  shape.grid_y = static_cast<uint32_t>(divide_up(in.target.w.rows, kTileColumns));
  shape.shared_bytes = static_cast<uint32_t>(kStages * rows_of_tile * kStageColumns * 2);
  // A grid that leaves multiprocessors idle is cut along k.
  const int64_t stages = divide_up(in.rows.k, kStageColumns);
  const int64_t blocks = int64_t{shape.grid_x} * shape.grid_y;
  const int64_t size = int64_t{in.rows.m} * in.target.w.rows;
  in.splits = 1;
  if (in.experts.tiles == nullptr && in.partial != nullptr) {
    const int64_t wanted = 2 * queue.device().multiprocessors() / std::max<int64_t>(blocks, 1);
    const int64_t room = static_cast<int64_t>(partial_count) / std::max<int64_t>(size, 1);
    const int64_t splits = std::min({wanted, room, stages / 2, int64_t{16}});
    if (splits > 1) in.splits = static_cast<int32_t>(divide_up(stages, divide_up(stages, splits)));
  }
  shape.grid_z = static_cast<uint32_t>(in.splits);
  if (rows_of_tile == 64) {
    queue.launch(tile_kernel<kForm, 64>, shape, in);
  } else {
    queue.launch(tile_kernel<kForm, 128>, shape, in);
  }
  if (in.splits == 1) return;
  LaunchShape add;
  add.threads = kThreads;
  add.grid_x = static_cast<uint32_t>(std::min<int64_t>(divide_up(size, kThreads), 2048));
  queue.launch(add_splits_kernel, add, in.partial, in.splits, in.rows.m, in.target.w.rows,
               in.target.out, in.target.out_stride);
}

}  // namespace

void tile_product(LaunchQueue& queue, const ProductTarget& target, const ProductRows& rows,
                  const ExpertTiles* experts, float* partial, size_t partial_count) {
  TileArguments in{};
  in.target = target;
  in.rows = rows;
  if (experts != nullptr) in.experts = *experts;
  in.partial = partial;
  const int32_t height = experts != nullptr ? experts->height : rows.m <= 64 ? 64 : 128;
  switch (target.w.form) {
    case WeightForm::kBf16:
      return run<WeightForm::kBf16>(queue, in, height, partial_count);
    case WeightForm::kInt8:
      return run<WeightForm::kInt8>(queue, in, height, partial_count);
    case WeightForm::kInt4:
      return run<WeightForm::kInt4>(queue, in, height, partial_count);
    case WeightForm::kInt4Grouped:
      return run<WeightForm::kInt4Grouped>(queue, in, height, partial_count);
    case WeightForm::kInt2:
      return run<WeightForm::kInt2>(queue, in, height, partial_count);
    case WeightForm::kF32:
      break;
  }
  throw Error(ErrorKind::kInternal, "float32 weights have no narrow product", "CUDA");
}

}  // namespace gemma4::cuda
