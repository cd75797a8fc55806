// Takes tensors out of a checkpoint by name, checks each shape, and keeps count, so that a tensor
// nobody asked for is noticed.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/io/checkpoint.h"
#include "lib/quant/weight_reader.h"

namespace gemma4 {

class TensorSource {
 public:
  /// Both must outlive the source; weights that it gives point into the checkpoint's files.
  TensorSource(const Checkpoint& checkpoint, Ops& ops);
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;

  /// Whether there is a tensor of this name.
  bool has(const std::string& name) const { return checkpoint_->find(name) != nullptr; }
  /// Whether there is a matrix of this module, plain or quantised.
  bool has_matrix(const std::string& module) const { return reader_.has(module); }

  /// The tensor `name` of exactly this shape; Error(kModel) naming it otherwise.
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape);
  /// The matrix [rows, cols] of `module` (its tensor is named module + ".weight" when it is plain),
  /// in whatever format the checkpoint has it, unprepared.
  Weight matrix(const std::string& module, int64_t rows, int64_t cols);
  /// A vector [size], widened to float32 in the backend's memory.
  Vector vector(const std::string& name, int64_t size);
  /// A tensor of one element.
  float scalar(const std::string& name);

  /// Marks names as known without loading them: tensors that released files carry unused.
  void ignore(const std::string& name) { used_.insert(name); }
  void ignore_prefix(std::string prefix) { ignored_prefixes_.push_back(std::move(prefix)); }

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
