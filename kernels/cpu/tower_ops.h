// The towers' operations on the CPU, on all threads. Shapes and formulas: Ops, in kernels/ops.h.
#pragma once

#include <span>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"
#include "kernels/ops.h"

namespace gemma4::cpu {

class TowerOps {
 public:
  /// Both must outlive the object.
  TowerOps(const KernelTable& kernels, Products& products)
      : kernels_(kernels), products_(products) {}

  void clipped_linear(Matrix x, std::span<const ClippedTarget> targets);
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

 private:
  void clamp(Matrix x, float low, float high, Matrix out) const;
  void gather_taps(Matrix x, int32_t channels, int64_t time, int64_t out_frequencies,
                   float* taps) const;
  void attend(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention, int64_t first,
              int64_t row, float* scratch, Matrix out) const;

  const KernelTable& kernels_;
  Products& products_;
  Scratch clipped_;
  Scratch gate_;
  Scratch up_;
  ThreadScratch scratch_;
};

}  // namespace gemma4::cpu
