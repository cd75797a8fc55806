// Weight: a linear map's matrix in the checkpoint's own format, and what a backend made of it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "lib/base/tensor.h"

namespace gemma4 {

struct QuantizedMatrix;  // lib/quant/quantized_matrix.h

/// What a backend keeps beside the file's bytes: a repacked copy, a device copy.
struct WeightLayout {
  virtual ~WeightLayout() = default;
};

/// y[n] = sum_k W[n, k] x[k], W row-major [rows, cols] = [out_features, in_features].
/// Exactly one of `dense` and `quantized` is set. `dense.data` points into the mapped file (host
/// memory, any alignment) and stays valid as long as the checkpoint is open.
struct Weight {
  std::string name;  // the checkpoint's tensor name, without a format's suffix
  int64_t rows = 0;
  int64_t cols = 0;
  Tensor dense;  // F32, BF16 or F16
  std::shared_ptr<const QuantizedMatrix> quantized;
  std::shared_ptr<const void> owner;     // of dense bytes made while loading; null: a mapped file
  std::shared_ptr<WeightLayout> layout;  // set by Ops::prepare

  bool empty() const { return rows == 0; }
  /// Rows [first, first + count) as a weight of their own. Only for dense weights, before prepare.
  Weight row_slice(int64_t first, int64_t count) const;
};

}  // namespace gemma4
