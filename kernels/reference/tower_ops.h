// The towers' operations in plain C++. Shapes and formulas: Ops, in kernels/ops.h.
#pragma once

#include <span>

#include "kernels/ops.h"

namespace gemma4::reference {

void clipped_linear(Matrix x, const ClippedLinear& linear, Matrix out);
void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps, Matrix normed);
void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out);
void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps, Matrix out);
void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows);
void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps, Matrix cosine,
                       Matrix sine);
void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
          const Vector& factor, Matrix out);
void subsample(Matrix x, const Subsampling& stage, Matrix out);
void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                        std::span<const RowSpan> clips, Matrix out);
void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips, Matrix out);

}  // namespace gemma4::reference
