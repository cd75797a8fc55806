// The operations of a diffusion canvas on the device; see Ops::judge_canvas and Ops::embed_mixture.
#pragma once

#include "kernels/cuda/launch_queue.h"
#include "kernels/cuda/weights.h"
#include "kernels/matrix.h"

namespace gemma4::cuda {

/// What a row is judged with, as kernels read it from device memory.
struct CanvasSettings {
  double random = 0.0;
  float temperature = 1.0f;
  int32_t first_suppressed = 0;  // of this row, in `suppressed`
  int32_t num_suppressed = 0;
  int32_t reserved = 0;
};

struct CanvasVerdict {
  int32_t best = 0;
  int32_t candidate = 0;
  float entropy = 0.0f;
  int32_t finite = 0;  // 0: a logit is not, and the rest means nothing
};

/// logits [rows, vocab] become probabilities, verdicts [rows] is device memory. Sums are made in an
/// order that depends on the vocabulary alone. Suppressed ids are ids of the vocabulary.
void judge_canvas(LaunchQueue& queue, Matrix logits, const CanvasSettings* settings,
                  const int32_t* suppressed, CanvasVerdict* verdicts);

/// Works in `partial` [partial_floats], which holds kMixtureSplits rows of `out` at least. What a
/// row becomes does not depend on other rows.
void embed_mixture(LaunchQueue& queue, Matrix p, const StoredMatrix& table, float scale, Matrix out,
                   float* partial, size_t partial_floats);

inline constexpr int64_t kMixtureSplits = 8;  // parts of the vocabulary, summed apart

}  // namespace gemma4::cuda
