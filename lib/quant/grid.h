// Finding the 4-bit grid that the weights of a QAT checkpoint lie on.
//
// The bf16 files of a QAT run hold code * step for groups of 32, codes -8 ... 7, step of either
// sign (llama.cpp's Q4_0: step = signed extremum / -8). A scale recomputed from the largest weight
// misses the step whenever a group no longer holds the code -8 (spec checkpoints-quant.md, 3.8).
#pragma once

#include <cstdint>
#include <span>

#include "lib/base/tensor.h"

namespace gemma4 {

/// Columns that share a step. Only group sizes that divide it are looked at.
inline constexpr int64_t kGridGroup = 32;
/// Share of a matrix's groups that must lie on a grid for the matrix to count as QAT.
inline constexpr double kGridShare = 0.99;

/// The step of one group's grid, rounded to `scale_dtype`, and its codes; 0 when the group lies on
/// none. A group of zeros has codes 0 and the step epsilon(scale_dtype). `codes` has the group's
/// size.
///
/// For the extremum m as code -8, 7, ..., 1 in turn: the step that m implies, the codes nearest to
/// x / step, then the step refined by least squares over these codes. Accepted when every weight
/// lies within 1/32 of a step of its code, which is what rounding code * step to bf16 can cost;
/// 1/16 once the step itself is rounded.
float find_grid_step(std::span<const float> group, Dtype scale_dtype, std::span<int8_t> codes);

}  // namespace gemma4
