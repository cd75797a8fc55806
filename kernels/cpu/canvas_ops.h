// The operations of a diffusion canvas on the CPU; see Ops::judge_canvas and Ops::embed_mixture.
#pragma once

#include <span>
#include <vector>

#include "kernels/canvas.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/scratch.h"
#include "kernels/matrix.h"

namespace gemma4::cpu {

class CanvasOps {
 public:
  CanvasOps(const RowKernels& kernels, const Products& products)
      : kernels_(kernels), products_(products) {}

  void judge(Matrix logits, std::span<const CanvasRow> rows, CanvasChoice* choices);
  void embed_mixture(Matrix p, const Weight& table, float scale, Matrix out);

 private:
  /// Row `row` of the mixture has the embedding of token `id` with this weight.
  struct Term {
    int32_t id;
    int32_t row;
    float weight;
  };

  CanvasChoice judge_row(float* logits, int64_t vocab_size, const CanvasRow& row, float* weights);
  void gather_terms(Matrix p, int64_t first, int64_t count);
  void add_terms(const Weight& table, float scale, int64_t first_column, int64_t columns,
                 float* embedding, Matrix out) const;

  const RowKernels& kernels_;
  const Products& products_;
  ThreadScratch scratch_;
  std::vector<std::vector<Term>> terms_;  // by piece of the vocabulary, ids ascending in each
};

}  // namespace gemma4::cpu
