// Mixture of experts: choosing, grouping rows by expert, mixing. Products: product_kernels.h.
#pragma once

#include "kernels/cuda/launch_queue.h"
#include "kernels/ops.h"

namespace gemma4::cuda {

/// The top_k largest scores of each row (the lower expert on ties), and softmax over them of
/// score * shrink, times per_expert_scale.
void choose_experts(LaunchQueue& queue, const float* scores, int64_t rows, int32_t num_experts,
                    int32_t top_k, float shrink, const float* per_expert_scale, int32_t* experts,
                    float* weights);

/// Assignments (row, k), sorted by expert: order[place] = assignment, place[assignment] = its
/// place; and the tiles of tile_product of up to `height` places, see ExpertTiles. `counts`:
/// [2 * num_experts] of scratch.
void group_by_expert(LaunchQueue& queue, const int32_t* experts, int32_t assignments,
                     int32_t num_experts, int32_t height, int32_t* counts, int32_t* order,
                     int32_t* place, int32_t* tiles);

/// out[r] = sum_k weights[r, k] results[place[r, k]]; a null place: results[r * top_k + k].
void mix_experts(LaunchQueue& queue, const float* results, const float* weights,
                 const int32_t* place, int32_t top_k, Matrix out);

}  // namespace gemma4::cuda
