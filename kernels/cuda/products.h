// Chooses how a matrix product is computed, and keeps the memory that this takes.
//
// Weights as they are stored meet activations rounded to bfloat16, sums are float32. In float32
// throughout: with exact activations, for float32 weights, and where the checkpoint defines integer
// activations (these are then on its grid).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/blas.h"
#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/row_kernels.h"
#include "kernels/cuda/scratch.h"
#include "kernels/cuda/weight_store.h"

namespace gemma4::cuda {

/// Rows of activations in float32, in bfloat16 padded to 32 columns, or in both.
struct ProductInput {
  const float* wide = nullptr;
  const uint16_t* narrow = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
};

/// A weight's rows [first, first + count), where its product goes, and what the checkpoint says
/// about activations.
struct ProductJob {
  const Weight* weight = nullptr;
  int64_t first = 0;
  int64_t count = 0;
  float* out = nullptr;  // [rows, count]
};

class Products {
 public:
  Products(LaunchQueue& queue, WeightStore& store, bool exact);

  void run(const ProductInput& x, std::span<const ProductJob> jobs);
  /// down(act(gate x) [* up x]); an `up` may be null for Gate::kSilu.
  void mlp(Gate gate_kind, const Weight& gate, const Weight* up, const Weight& down, Matrix x,
           Matrix out);
  void experts(Matrix x, std::span<const MlpWeights> experts, const Routing& routing, Matrix out);

  /// Whether activations that meet this weight stay float32.
  bool is_exact(const Weight& weight);
  /// Memory for partial results of one kernel.
  float* partial() { return partial_.floats(static_cast<int64_t>(kPartialFloats)); }
  static constexpr size_t kPartialFloats = size_t{16} << 20;

 private:
  void run_exact(const ProductInput& x, const ProductJob& job);
  void run_narrow(const ProductInput& x, std::span<const ProductJob> jobs);
  bool run_blas(const ProductInput& x, const StoredMatrix& w, float* out, bool narrow);
  void experts_part(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                    Matrix out);
  const float* rounded(const Weight& weight, const float* x, int64_t rows, int64_t cols);

  LaunchQueue& queue_;
  WeightStore& store_;
  bool exact_;
  std::unique_ptr<Blas> blas_;  // null: not on this machine
  Scratch narrow_x_;
  Scratch rounded_x_;
  Scratch gate_;
  Scratch up_;
  Scratch gated_;
  Scratch results_;
  Scratch grouping_;
  Scratch widened_;
  Scratch partial_;
};

}  // namespace gemma4::cuda
