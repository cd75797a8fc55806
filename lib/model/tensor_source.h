// Where a model's loaders take their tensors from, by the checkpoint's names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

/// Every tensor that is asked for must be there in the shape that is asked for; otherwise
/// Error(kModel) names it.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  /// Whether there is a tensor of this name.
  virtual bool has(const std::string& name) const = 0;
  /// Whether there is a matrix of this module, plain or quantised.
  virtual bool has_matrix(const std::string& module) const = 0;

  /// The tensor `name` of exactly this shape.
  virtual const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) = 0;
  /// The matrix [rows, cols] of `module` (its tensor is named module + ".weight" when it is plain),
  /// in whatever format the source has it, unprepared.
  virtual Weight matrix(const std::string& module, int64_t rows, int64_t cols) = 0;
  /// A vector [size], widened to float32 in the backend's memory.
  virtual Vector vector(const std::string& name, int64_t size) = 0;
  /// A tensor of one element.
  virtual float scalar(const std::string& name) = 0;

  /// Lets go of the memory behind a matrix that was copied into another layout.
  virtual void release(const Weight& weight) const = 0;

  /// Marks names as known without loading them: tensors that released files carry unused.
  virtual void ignore(const std::string& name) = 0;
  virtual void ignore_prefix(std::string prefix) = 0;
};

/// TensorSource::take of a tensor that must be F32, BF16 or F16.
const Tensor& take_floats(TensorSource& source, const std::string& name,
                          const std::vector<int64_t>& shape);

}  // namespace gemma4
