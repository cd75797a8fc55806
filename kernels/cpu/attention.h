// Attention of a whole step: tiles of queries, each over its keys, on all threads.
#pragma once

#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/scratch.h"
#include "kernels/ops.h"

namespace gemma4::cpu {

class StepAttention {
 public:
  explicit StepAttention(const KernelTable& kernels) : kernels_(kernels) {}

  /// See Ops::attention.
  void run(const Step& step, Matrix q, const KvLayer& layer, Matrix out);

 private:
  /// Query rows of one sequence and heads of one KV head; its keys are cut into parts, which are
  /// worked on separately and merged.
  struct Tile {
    int32_t first_row;
    int32_t rows;
    int32_t first_head;
    int32_t heads;
    KeySpan keys;
    int32_t part_size;
    int32_t first_part;  // index of the tile's first part
    bool few;
  };
  struct Part {
    int32_t tile;
    KeySpan keys;
  };

  void make_tiles(const Step& step, const KvLayer& layer, int32_t num_heads);
  void add_tiles(const std::vector<KeyRange>& visible, int32_t first, int32_t end,
                 const KvLayer& layer, int32_t num_heads);
  void merge(const Tile& tile, int32_t head_dim, Matrix out) const;

  const KernelTable& kernels_;
  std::vector<Tile> tiles_;
  std::vector<Part> parts_;
  int32_t queries_of_part_ = 0;  // room for them in the partial results
  float* weighted_ = nullptr;    // [parts, queries_of_part, head_dim]
  float* largest_ = nullptr;     // [parts, queries_of_part]
  float* sum_ = nullptr;         // [parts, queries_of_part]
  Scratch partial_;
  ThreadScratch scratch_;
};

}  // namespace gemma4::cpu
