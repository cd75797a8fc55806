// Products of activations with weights of every format, on all threads.
//
// Dense weights meet float32 activations, or bf16 ones if they are bf16 themselves and the CPU
// multiplies these faster (product_choice.h). Quantised weights meet int8 activations in groups of
// 32 (or as their checkpoint defines), read in place; with exact activations, and in forms that the
// integer kernels do not know, blocks of them are widened to float32 first.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/product_choice.h"
#include "kernels/cpu/quant_kernels.h"
#include "kernels/cpu/scratch.h"
#include "kernels/product_report.h"
#include "kernels/weight.h"
#include "lib/quant/quantized_matrix.h"

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
  bool keep_float = false;  // x is not rounded to bf16, whatever would be faster
};

/// Scalar type of a dense weight. Throws Error(kModel) for one that is none of ours.
Element element_type(const Weight& weight);

class Products {
 public:
  /// `bf16_path`: of products with bf16 weights; nothing: product_choice() is asked when the first
  /// such product comes.
  Products(const KernelTable& kernels, bool exact_activations, std::optional<ProductPath> bf16_path)
      : kernels_(kernels), exact_activations_(exact_activations), bf16_path_(bf16_path) {}

  /// Checks a weight's format, and widens the scales of a quantised one if the kernels need it.
  void prepare(Weight& weight) const;
  /// Columns [first_column, first_column + count) of one row of a weight times `scale`.
  void row(const Weight& weight, int64_t index, int64_t first_column, int64_t count, float scale,
           float* out) const;
  /// Jobs with at most kMatvecRows rows are run together, the others one after the other.
  void run(std::span<const ProductJob> jobs);
  ProductReport report(const Weight& weight) const;

 private:
  /// Activations as one job needs them; jobs that need the same share them.
  struct Activations {
    const float* x;
    int64_t x_stride;
    int64_t rows;
    int64_t cols;
    int bits;   // of the weights, where activations are int8; 0: float32 as the scheme leaves them
    bool bf16;  // rounded to bf16
    ActivationScheme scheme;
    float scale;  // of kStaticInt8

    bool operator==(const Activations&) const = default;
  };
  /// A part of a job for one thread, few rows.
  struct Piece {
    size_t job;
    int64_t first;
    int64_t count;
  };

  bool integer(const Weight& weight) const;
  ProductPath path(const Weight& weight) const;
  ProductPath path(const ProductJob& job) const;
  Activations activations_of(const ProductJob& job) const;
  int64_t few_bytes(const Activations& a) const;
  void pack_few(const Activations& a, int64_t row, char* packed);
  void run_few();
  void run_piece(const Piece& piece);
  void run_many(const ProductJob& job);
  void run_many_dense(const DenseProduct& whole);
  void run_many_bf16(const ProductJob& job, const Activations& a);
  void run_many_integer(const ProductJob& job, const Activations& a);
  void run_widened(const ProductJob& job, const float* x, int64_t x_stride, int64_t first,
                   int64_t count, int64_t block);
  void widen_rows(const Weight& weight, int64_t first, int64_t count, float* out) const;

  const KernelTable& kernels_;
  bool exact_activations_;
  std::optional<ProductPath> bf16_path_;
  ThreadScratch scratch_;    // packed blocks of weights
  ThreadScratch widened_;    // rows of quantised weights as float32
  ThreadScratch quantized_;  // one row of int8 activations in natural order
  Scratch packed_;           // activations of all jobs that are run together
  Activations many_key_{};   // what packed_ holds of the last job of many rows
  std::vector<ProductJob> few_;
  std::vector<Activations> few_keys_;  // distinct activations of few_
  std::vector<int64_t> few_at_;        // [few_keys_ + 1] where they are in packed_
  std::vector<size_t> few_key_of_;     // [few_] index in few_keys_
  std::vector<Piece> pieces_;
};

}  // namespace gemma4::cpu
