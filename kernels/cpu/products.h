// Products of activations with weights of every format, on all threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/scratch.h"
#include "kernels/weight.h"

namespace gemma4::cpu {

/// out[r * out_stride + n] = sum_k x[r * x_stride + k] * W[first + n, k] for n < count.
struct ProductJob {
  const Weight* weight;
  int64_t first;
  int64_t count;
  const float* x;
  int64_t x_stride;
  int64_t rows;
  float* out;
  int64_t out_stride;
};

/// Scalar type of a dense weight. Throws Error(kModel) for one that is none of ours.
Element element_type(const Weight& weight);

class Products {
 public:
  Products(const KernelTable& kernels, bool exact_activations)
      : kernels_(kernels), exact_activations_(exact_activations) {}

  /// Makes the layout of a quantised weight; dense ones are used in place.
  void prepare(Weight& weight) const;
  /// One row of a weight times `scale`, as float32.
  void row(const Weight& weight, int64_t index, int64_t first_column, int64_t count, float scale,
           float* out) const;
  /// Jobs with at most kMatvecRows rows are run together, the others one after the other.
  void run(std::span<const ProductJob> jobs);

 private:
  void run_few(std::span<const ProductJob> jobs);
  void run_many(const ProductJob& job);

  const KernelTable& kernels_;
  bool exact_activations_;
  ThreadScratch scratch_;
  std::vector<DenseProduct> few_;
  std::vector<ProductJob> few_jobs_;
};

}  // namespace gemma4::cpu
