// What the vision and audio encoders share: loading of their kinds of weights, activation memory,
// and the projector into the decoder's space.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/media_encoder.h"
#include "lib/model/tensor_source.h"

namespace gemma4 {

/// The weight `module`.linear [rows, cols], prepared, with the bounds that lie beside it when
/// `clipped` is set and the checkpoint has them (spec 2.6). Throws Error(kModel) for bounds that
/// are incomplete or no interval.
ClippedLinear load_clipped_linear(TensorSource& source, Ops& ops, const std::string& module,
                                  int64_t rows, int64_t cols, bool clipped);

/// A tensor of this shape, widened to float32 in host memory.
std::vector<float> load_floats(TensorSource& source, Ops& ops, const std::string& name,
                               const std::vector<int64_t>& shape);

/// Values put into the backend's memory.
Vector upload_floats(Ops& ops, const std::vector<float>& values);

/// A tensor of three dimensions as the matrix [rows, cols] that it is in memory, prepared.
Weight load_table(TensorSource& source, Ops& ops, const std::string& name,
                  const std::vector<int64_t>& shape, int64_t rows, int64_t cols);

/// Rows [first, first + count) of a float32 matrix.
inline Matrix rows_of(Matrix m, int64_t first, int64_t count) {
  return {m.row(first), m.dtype, count, m.cols};
}

/// Activation memory of one encoding, freed with it. The towers compute in float32 everywhere.
class Workspace {
 public:
  explicit Workspace(Ops& ops) : ops_(ops) {}

  Matrix matrix(int64_t rows, int64_t cols);
  /// A matrix with these values.
  Matrix matrix(int64_t rows, int64_t cols, const float* values);

 private:
  Ops& ops_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

/// e = projection rms_norm(x), the norm without weight (spec 2.8, 3.1, 4.8).
class MediaProjector {
 public:
  /// `module` is "model.embed_vision" or "model.embed_audio".
  MediaProjector(TensorSource& source, Ops& ops, const std::string& module, int64_t hidden_size,
                 int64_t cols, float eps);

  /// Soft tokens of `x` [rows, cols], copied to host memory. Overwrites x.
  SoftTokens project(Matrix x) const;

 private:
  Ops& ops_;
  Weight projection_;  // [hidden_size, cols]
  float eps_;
};

}  // namespace gemma4
