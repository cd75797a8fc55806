// Reads one matrix of a checkpoint, plain or quantised, by the name of its module.
//
// Which tensors are there decides how a matrix is stored; config.json must agree on bits and
// groups (spec checkpoints-quant.md, 3.4, 3.7, 4.2). For module X these are:
//   X.weight                                        F32, BF16, F16: plain
//   X.weight_packed, _scale, _shape[, _zero_point]  compressed-tensors pack-quantized
//   X.weight (I8), _scale[, _zero_point]            compressed-tensors int-quantized
//   X.weight (U8, I8), _scale                       quant_method "gemma"
//   X.embedding_quantized, X.embedding_scale        quant_method "gemma", embeddings
// and for activations X.input_scale, X.output_scale or X.input_activation_scale,
// X.output_activation_scale.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "lib/base/tensor.h"
#include "lib/quant/quantization_config.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4 {

/// nullptr when there is no tensor of that name. Called for every name that belongs to a module,
/// so a caller that counts what was used sees all of them.
using TensorFinder = std::function<const Tensor*(std::string_view)>;

/// Exactly one is set; both point into the checkpoint's files.
struct StoredMatrix {
  Tensor dense;  // F32, BF16 or F16; data is null when quantized is set
  std::shared_ptr<const QuantizedMatrix> quantized;
};

class WeightReader {
 public:
  WeightReader(TensorFinder find, QuantizationConfig config)
      : find_(std::move(find)), config_(std::move(config)) {}

  /// The matrix of `module`, which must be [rows, cols]. Throws Error(kModel) naming the tensor
  /// when one is missing, has another shape or dtype than its format asks for, contradicts
  /// config.json, or holds a scale that is 0, NaN or infinite; and naming the format when it is
  /// one that is not supported.
  StoredMatrix read(const std::string& module, int64_t rows, int64_t cols);

  /// Whether the checkpoint has a matrix for this module in any format.
  bool has(const std::string& module) const;

 private:
  using Scheme = std::optional<ModuleScheme>;  // what config.json says of a module

  const Tensor& require(const std::string& name) const;
  void read_packed(const std::string& module, const Scheme& scheme, QuantizedMatrix& matrix);
  void read_int8(const std::string& module, const Scheme& scheme, QuantizedMatrix& matrix);
  void read_gemma(const std::string& codes, const std::string& scales, int bits,
                  QuantizedMatrix& matrix) const;
  void read_zero_points(const std::string& module, const Scheme& scheme,
                        QuantizedMatrix& matrix) const;
  void read_activation_scales(const std::string& module, const Scheme& scheme,
                              const std::string& input, const std::string& output,
                              QuantizedMatrix& matrix) const;
  void check_group_index(const std::string& module, const QuantizedMatrix& matrix) const;

  /// config.json and the tensors disagree on what is quantised: the tensors decide.
  void warn_once(const std::string& disagreement);

  TensorFinder find_;
  QuantizationConfig config_;
  bool warned_ = false;
};

/// Takes `tensor` ([rows, groups], or [rows] when groups is 1) as the scales of `matrix`, whose
/// rows and cols are set; sets group_size, scale_dtype and scales. `wanted_group_size` is that of
/// config.json, 0 for one scale a row, -1 when only the shape says. Throws as WeightReader::read.
void attach_scales(const Tensor& tensor, const std::string& name, int64_t wanted_group_size,
                   QuantizedMatrix& matrix);

}  // namespace gemma4
