// Operations that work row by row: lookups, norms, rotations, gates. Formulas: kernels/ops.h.
#pragma once

#include <span>

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/weights.h"
#include "kernels/ops.h"

namespace gemma4::cuda {

/// out[r] = table[ids[r]] * scale; an id outside the table takes row 0.
void lookup_rows(LaunchQueue& queue, const StoredMatrix& table, const int32_t* ids, float scale,
                 Matrix out);

/// A weight may be null: 1.
void rms_norm(LaunchQueue& queue, Matrix x, const float* weight, float eps, Matrix out);

void close_block(LaunchQueue& queue, Matrix x, Matrix branch, const float* post_norm, float eps,
                 float scale, const float* next_norm, Matrix normed);

/// x += branch; normed = rms_norm(x) * next_norm.
void add_residual(LaunchQueue& queue, Matrix x, Matrix branch, const float* next_norm, float eps,
                  Matrix normed);

void layer_norm(LaunchQueue& queue, Matrix x, const float* weight, const float* bias, float eps,
                bool rectify, Matrix out);

/// cosine and sine [rows, pairs] of positions[r] * frequency[j].
void rotation(LaunchQueue& queue, const int32_t* positions, int64_t rows, const float* frequency,
              int32_t pairs, float* cosine, float* sine);

/// Per head: rms_norm, then pairs (j, j + pairs) of each of `parts` equal parts of the head are
/// turned by the part's own columns of cosine and sine [rows, parts * pairs]; null: no rotation.
void head_norm_rotate(LaunchQueue& queue, Matrix x, int32_t head_dim, const float* weight,
                      float eps, int32_t parts, const float* cosine, const float* sine);

/// How gated values leave: as float32 [rows, cols], and/or as bfloat16 padded to 32 columns.
struct GateOutput {
  float* wide = nullptr;
  uint16_t* narrow = nullptr;
};
enum class Gate : int32_t { kGeluTimes, kSilu };
/// act(gate) * up with up [rows, up_stride]; kSilu has no up.
void apply_gate(LaunchQueue& queue, Gate gate_kind, const float* gate, const float* up,
                int64_t up_stride, int64_t rows, int64_t cols, const GateOutput& out);

/// values = softcap * tanh(values / softcap)
void cap_values(LaunchQueue& queue, float* values, int64_t count, float softcap);

/// dst[i] = src[rows[i]].
void gather_rows(LaunchQueue& queue, Matrix src, std::span<const int32_t> rows, Matrix dst);
/// dst[rows[i]] = src[i]; rows in device memory.
void scatter_rows(LaunchQueue& queue, const float* src, const int32_t* rows, int64_t count,
                  Matrix dst);

/// out = (rms_norm(out) * norm + looked_up) / sqrt(2), per part of `width` columns.
void combine_per_layer(LaunchQueue& queue, Matrix out, const StoredMatrix& table,
                       const int32_t* ids, int64_t first_column, float table_scale,
                       const float* norm, int32_t width, float eps);

/// Rows as int8 activations leave them (lib/quant/activation_quant.h): one scale a row when
/// `scale` is 0, else that one.
void round_activations(LaunchQueue& queue, const float* x, int64_t rows, int64_t cols, float scale,
                       float* out);

}  // namespace gemma4::cuda
