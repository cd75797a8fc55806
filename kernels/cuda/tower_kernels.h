// Kernels of the vision and audio towers beyond products and norms. Formulas: kernels/ops.h.
#pragma once

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/weights.h"
#include "kernels/ops.h"

namespace gemma4::cuda {

/// out = clamp(x, low, high)
void clamp_values(LaunchQueue& queue, const float* x, int64_t count, float low, float high,
                  float* out);
/// values = clamp(values, low, high) + bias; bias may be null.
void clamp_and_bias(LaunchQueue& queue, Matrix values, float low, float high, const float* bias);

/// x[r] += table[rows[2 r]] + table[rows[2 r + 1]]; rows in device memory.
void add_table_rows(LaunchQueue& queue, Matrix x, const StoredMatrix& table, const int32_t* rows);

void pool(LaunchQueue& queue, Matrix x, int64_t columns, int32_t kernel, float scale,
          const float* bias, const float* factor, Matrix out);

/// The nine taps of every output position of Ops::subsample, [times * frequencies, 9 * channels].
void gather_taps(LaunchQueue& queue, Matrix x, int32_t channels, int64_t out_times,
                 int64_t out_frequencies, float* taps);

/// `clip_begin`: the first row of each row's clip, in device memory.
void relative_attention(LaunchQueue& queue, Matrix q, Matrix k, Matrix v,
                        const RelativeAttention& attention, const int32_t* clip_begin, Matrix out);

void light_conv(LaunchQueue& queue, Matrix x, const LightConv& conv, const int32_t* clip_begin,
                Matrix out);

}  // namespace gemma4::cuda
