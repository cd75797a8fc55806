#include "lib/model/tensor_check.h"

#include <algorithm>

namespace gemma4 {
namespace {

// Larger tensors are tables, which loaders use in place.
constexpr uint64_t kMaxZeros = uint64_t{4} << 20;  // bytes

}  // namespace

const Tensor& TensorCheck::take(const std::string& name, const std::vector<int64_t>& shape) {
  tensor_ = source_.take(name, shape);
  const auto bytes =
      static_cast<uint64_t>(tensor_.elements()) * static_cast<uint64_t>(dtype_bits(tensor_.dtype));
  if (bytes / 8 <= kMaxZeros) {
    zeros_.resize(std::max(zeros_.size(), static_cast<size_t>(bytes / 8) + 1));
    tensor_.data = zeros_.data();
  }
  return tensor_;
}

Vector TensorCheck::vector(const std::string& name, int64_t size) {
  return ops_.upload(take_floats(*this, name, {size}));
}

float TensorCheck::scalar(const std::string& name) {
  take_floats(*this, name, {1});
  return 0.0f;
}

}  // namespace gemma4
