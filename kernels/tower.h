// What the operations of the vision and audio towers take besides matrices (spec
// vision-audio-video.md, 2 to 4).
#pragma once

#include <cstdint>
#include <limits>

#include "kernels/matrix.h"
#include "kernels/weight.h"

namespace gemma4 {

/// clamp(W clamp(x, input bounds), output bounds) + bias (2.6). Infinite bounds: a plain linear
/// map.
struct ClippedLinear {
  Weight weight;
  Vector bias;  // [weight.rows]; empty: none
  float input_min = -std::numeric_limits<float>::infinity();
  float input_max = std::numeric_limits<float>::infinity();
  float output_min = -std::numeric_limits<float>::infinity();
  float output_max = std::numeric_limits<float>::infinity();
};

struct ClippedTarget {
  const ClippedLinear* linear;
  Matrix out;  // [rows, linear->weight.rows]
};

/// With an `up`: down(gelu(gate x) * (up x)), gelu in its tanh form (2.3).
/// Without: down(silu(gate x)) (4.6).
struct ClippedMlp {
  ClippedLinear gate;  // [intermediate, hidden]
  ClippedLinear up;    // [intermediate, hidden], or with an empty weight
  ClippedLinear down;  // [hidden, intermediate]
};

/// One stage that halves time and frequency (4.5): a convolution of 3 x 3 taps with stride 2 and a
/// border of one zero, LayerNorm over the channels of each position, max(0, x).
struct Subsampling {
  int32_t channels = 0;  // of the input
  Weight weight;  // [output channels, 9 * channels], columns: time tap, frequency tap, channel
  Vector norm;    // [output channels]
  float eps = 0.0f;
};

/// The conformer's attention (4.7).
struct RelativeAttention {
  int32_t head_dim = 0;
  int32_t left_keys = 0;  // keys that a row sees: itself and those just before it
  Vector query_scale;     // [head_dim]
  float key_scale = 0.0f;
  Vector relative_keys;  // [left_keys, heads * head_dim]: added to the key at that distance
  float softcap = 0.0f;  // positive
};

/// The conformer's light convolution between its two linear maps (4.6).
struct LightConv {
  int32_t taps = 0;
  Vector kernel;  // [taps, channels]; the last tap is the row itself
  Vector norm;    // [channels]
  float eps = 0.0f;
};

/// Rows [begin, end): one clip of a batch.
struct RowSpan {
  int64_t begin = 0;
  int64_t end = 0;
};

}  // namespace gemma4
