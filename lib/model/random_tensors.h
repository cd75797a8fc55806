// Random weights of a model's true shape, for measuring speed without a checkpoint.
#pragma once

#include <string>
#include <vector>

#include "lib/model/tensor_source.h"

namespace gemma4 {

/// Every tensor exists, in bf16: matrices with small random values, norms and scalars near 1.
/// Lookup tables (module names that end in "embed_tokens_per_layer") are left untouched zero
/// pages: of those a token reads only a row. Matrices own their memory.
class RandomTensors : public TensorSource {
 public:
  explicit RandomTensors(Ops& ops) : ops_(ops) {}

  bool has(const std::string&) const override { return false; }
  bool has_matrix(const std::string&) const override { return false; }
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override;
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override;
  float scalar(const std::string&) override { return 1.0f; }
  void release(const Weight&) const override {}
  void ignore(const std::string&) override {}
  void ignore_prefix(std::string) override {}

 private:
  Ops& ops_;
};

}  // namespace gemma4
