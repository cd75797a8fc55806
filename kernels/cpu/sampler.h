// Choosing one id from one row of logits.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/kernel_table.h"
#include "kernels/sampling.h"

namespace gemma4::cpu {

/// Samples rows one at a time; keeps its working memory.
class Sampler {
 public:
  explicit Sampler(const RowKernels& kernels) : kernels_(kernels) {}

  /// See Ops::sample. Throws Error(kInternal) when no id is allowed.
  int32_t sample(const float* logits, int64_t vocab_size, const SampleRow& row);

 private:
  struct Candidate {
    double value;  // logit, then weight
    int32_t id;
  };

  void apply_masks(const SampleRow& row);
  void apply_penalties(const SampleRow& row);
  float find_block_tops();
  int32_t first_of(float value) const;
  double gather_candidates(const SamplingParams& params, double random, float top);
  int32_t draw(const SampleRow& row, double total);

  const RowKernels& kernels_;
  std::vector<float> logits_;
  std::vector<float> block_tops_;  // largest logit of each block of kBlock ids
  std::vector<float> weights_;
  std::vector<int32_t> counts_;  // of an id in the output; zero between calls
  std::vector<uint8_t> seen_;    // id had its repetition penalty; zero between calls
  std::vector<Candidate> candidates_;
};

}  // namespace gemma4::cpu
