#include "lib/model/tensor_source.h"

#include "lib/base/error.h"

namespace gemma4 {

const Tensor& take_floats(TensorSource& source, const std::string& name,
                          const std::vector<int64_t>& shape) {
  const Tensor& tensor = source.take(name, shape);
  if (tensor.dtype != Dtype::kF32 && tensor.dtype != Dtype::kBf16 && tensor.dtype != Dtype::kF16) {
    throw Error(ErrorKind::kModel, "tensor has dtype " + std::string(dtype_name(tensor.dtype)),
                name, "F32, BF16 or F16 is expected");
  }
  return tensor;
}

}  // namespace gemma4
