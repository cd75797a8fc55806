// TensorCheck: lets a loader ask for its tensors without reading them.
//
// Every name, shape and dtype that the loader asks for is checked and marked as used in the source
// behind; the values that it gets are zeros. So a checkpoint's towers are known to be whole at
// start-up, and their bytes are left alone until the first picture or clip.
#pragma once

#include <string>
#include <vector>

#include "lib/model/tensor_source.h"

namespace gemma4 {

class TensorCheck : public TensorSource {
 public:
  /// Both must outlive the check. The loader must be given `ops` too, a backend that uses weights
  /// in place.
  TensorCheck(TensorSource& source, Ops& ops) : source_(source), ops_(ops) {}

  bool has(const std::string& name) const override { return source_.has(name); }
  bool has_matrix(const std::string& module) const override { return source_.has_matrix(module); }
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override;
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) override {
    return source_.matrix(module, rows, cols);
  }
  Vector vector(const std::string& name, int64_t size) override;
  float scalar(const std::string& name) override;
  void release(const Weight& weight) const override { source_.release(weight); }
  void ignore(const std::string& name) override { source_.ignore(name); }
  void ignore_prefix(std::string prefix) override { source_.ignore_prefix(std::move(prefix)); }

 private:
  TensorSource& source_;
  Ops& ops_;
  std::vector<std::byte> zeros_;
  Tensor tensor_;  // the last one given
};

}  // namespace gemma4
