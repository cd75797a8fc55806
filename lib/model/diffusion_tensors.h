// The tensors of a diffusion checkpoint under the names that Gemma 4's loaders ask for.
//
// Encoder and decoder share all weights but the layer scalars; a file may have them under either
// name, or both (spec mtp-diffusion.md, B3). Asked for "model.language_model.X" this source gives
// "model.decoder.X", else "model.encoder.language_model.X", and marks the other as known; of the
// layer scalars the encoder's come first. The towers are under "model.encoder." there. Other names
// are taken as they are; of "model.decoder.layers.N.layer_scalar" the encoder's takes the place
// where it is missing.
#pragma once

#include <string>
#include <vector>

#include "lib/model/tensor_source.h"

namespace gemma4 {

class DiffusionTensors : public TensorSource {
 public:
  /// `file` outlives the source.
  explicit DiffusionTensors(TensorSource& file) : file_(file) {}

  bool has(const std::string& name) const override;
  bool has_matrix(const std::string& module) const override;
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override;
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override;
  float scalar(const std::string& name) override;
  void release(const Weight& weight) const override { file_.release(weight); }
  void ignore(const std::string& name) override;
  void ignore_prefix(std::string prefix) override;

 private:
  /// The names that `name` may have in the file, the preferred one first.
  static std::vector<std::string> names_of(const std::string& name);
  /// The one of them that the file has; without any the first. The others become known.
  std::string tensor_name(const std::string& name);

  TensorSource& file_;
};

}  // namespace gemma4
