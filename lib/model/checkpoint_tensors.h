// Tensors of a checkpoint's files, with a count of what was used, so that a tensor nobody asked
// for is noticed.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lib/io/checkpoint.h"
#include "lib/model/tensor_source.h"
#include "lib/quant/weight_reader.h"

namespace gemma4 {

class CheckpointTensors : public TensorSource {
 public:
  /// Both must outlive the source; weights that it gives point into the checkpoint's files.
  CheckpointTensors(const Checkpoint& checkpoint, Ops& ops);
  CheckpointTensors(const CheckpointTensors&) = delete;
  CheckpointTensors& operator=(const CheckpointTensors&) = delete;

  bool has(const std::string& name) const override { return checkpoint_->find(name) != nullptr; }
  bool has_matrix(const std::string& module) const override { return reader_.has(module); }
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override;
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override;
  float scalar(const std::string& name) override;
  void release(const Weight& weight) const override;
  void ignore(const std::string& name) override { used_.insert(name); }
  void ignore_prefix(std::string prefix) override {
    ignored_prefixes_.push_back(std::move(prefix));
  }

  /// Error(kModel) naming the first tensor that was neither taken nor ignored.
  void finish() const;

 private:
  const Checkpoint* checkpoint_;
  Ops* ops_;
  std::set<std::string, std::less<>> used_;
  WeightReader reader_;
  std::vector<std::string> ignored_prefixes_;
};

}  // namespace gemma4
