#include "kernels/cpu/tower_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lib/base/parallel.h"

namespace gemma4::cpu {
namespace {

/// Calls fn(r) for rows [0, rows), on one thread where there is little to do.
template <typename Fn>
void for_each_row(int64_t rows, int64_t cols, const Fn& fn) {
  constexpr int64_t kWorthAThread = 16 * 1024;
  const int64_t grain = std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(cols, 1));
  parallel_ranges(rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) fn(r);
  });
}

/// The clip of a batch that a row belongs to.
const RowSpan& clip_of(std::span<const RowSpan> clips, int64_t row) {
  return *std::find_if(clips.begin(), clips.end(), [&](RowSpan c) { return row < c.end; });
}

bool is_finite(float low, float high) { return std::isfinite(low) || std::isfinite(high); }

}  // namespace

void TowerOps::clamp(Matrix x, float low, float high, Matrix out) const {
  for_each_row(x.rows, x.cols,
               [&](int64_t r) { kernels_.towers.clamp(x.row(r), low, high, x.cols, out.row(r)); });
}

void TowerOps::clipped_linear(Matrix x, std::span<const ClippedTarget> targets) {
  const ClippedLinear* clipped_for = nullptr;  // whose bounds `clipped` has
  const Matrix clipped{clipped_.floats(x.rows * x.cols), Dtype::kF32, x.rows, x.cols};
  for (const auto& [linear, out] : targets) {
    const bool clips = is_finite(linear->input_min, linear->input_max);
    if (clips && (clipped_for == nullptr || clipped_for->input_min != linear->input_min ||
                  clipped_for->input_max != linear->input_max)) {
      clamp(x, linear->input_min, linear->input_max, clipped);
      clipped_for = linear;
    }
    const Weight& weight = linear->weight;
    const ProductJob job{&weight, 0,      weight.rows, clips ? clipped.f32() : x.f32(),
                         x.cols,  x.rows, out.f32(),   out.cols};
    products_.run({&job, 1});
    if (is_finite(linear->output_min, linear->output_max)) {
      clamp(out, linear->output_min, linear->output_max, out);
    }
    if (linear->bias.empty()) continue;
    for_each_row(out.rows, out.cols, [&, out = out, linear = linear](int64_t r) {
      kernels_.rows.axpy(1.0f, linear->bias.data, out.cols, out.row(r));
    });
  }
}

void TowerOps::add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps,
                            Matrix normed) {
  for_each_row(x.rows, x.cols, [&](int64_t r) {
    kernels_.rows.axpy(1.0f, branch.row(r), x.cols, x.row(r));
    kernels_.rows.rms_norm(x.row(r), next_norm.data, eps, x.cols, normed.row(r));
  });
}

void TowerOps::clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) {
  constexpr int64_t kRows = 512;  // bounds the memory of the gate's and up's outputs
  const int64_t width = weights.gate.weight.rows;
  for (int64_t first = 0; first < x.rows; first += kRows) {
    const int64_t rows = std::min(kRows, x.rows - first);
    const Matrix part{x.row(first), Dtype::kF32, rows, x.cols};
    const Matrix gate{gate_.floats(rows * width), Dtype::kF32, rows, width};
    if (weights.up.weight.empty()) {
      const ClippedTarget target{&weights.gate, gate};
      clipped_linear(part, {&target, 1});
      for_each_row(rows, width,
                   [&](int64_t r) { kernels_.towers.silu(gate.row(r), width, gate.row(r)); });
    } else {
      const Matrix up{up_.floats(rows * width), Dtype::kF32, rows, width};
      const ClippedTarget targets[] = {{&weights.gate, gate}, {&weights.up, up}};
      clipped_linear(part, targets);
      for_each_row(rows, width, [&](int64_t r) {
        kernels_.rows.gelu_multiply(gate.row(r), up.row(r), width, gate.row(r));
      });
    }
    const ClippedTarget down{&weights.down, {out.row(first), Dtype::kF32, rows, out.cols}};
    clipped_linear(gate, {&down, 1});
  }
}

void TowerOps::layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps,
                          Matrix out) {
  for_each_row(x.rows, x.cols, [&](int64_t r) {
    kernels_.towers.layer_norm(x.row(r), weight.data, bias.data, eps, -INFINITY, x.cols,
                               out.row(r));
  });
}

void TowerOps::add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) {
  scratch_.reserve_threads();
  for_each_row(x.rows, x.cols, [&](int64_t r) {
    float* embedding = scratch_.mine().floats(x.cols);
    for (int64_t axis = 0; axis < 2; ++axis) {
      products_.row(table, rows[static_cast<size_t>(2 * r + axis)], 0, x.cols, 1.0f, embedding);
      kernels_.rows.axpy(1.0f, embedding, x.cols, x.row(r));
    }
  });
}

void TowerOps::head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps,
                                 Matrix cosine, Matrix sine) {
  const int64_t pairs = head_dim / 4;
  for_each_row(x.rows, x.cols, [&](int64_t r) {
    const float* c = cosine.row(r);
    const float* s = sine.row(r);
    for (float* head = x.row(r); head < x.row(r) + x.cols; head += head_dim) {
      kernels_.rows.rms_norm(head, weight.data, eps, head_dim, head);
      kernels_.rows.rotate(head, c, s, pairs);
      kernels_.rows.rotate(head + 2 * pairs, c + pairs, s + pairs, pairs);
    }
  });
}

void TowerOps::pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
                    const Vector& factor, Matrix out) {
  const int64_t wide = columns / kernel;
  const float share = scale / static_cast<float>(kernel * kernel);
  for_each_row(out.rows, x.cols * kernel * kernel, [&](int64_t o) {
    float* to = out.row(o);
    std::fill(to, to + x.cols, 0.0f);
    for (int64_t dy = 0; dy < kernel; ++dy) {
      const int64_t first = (o / wide * kernel + dy) * columns + o % wide * kernel;
      for (int64_t i = first; i < first + kernel; ++i) {
        kernels_.rows.axpy(1.0f, x.row(i), x.cols, to);
      }
    }
    for (int64_t i = 0; i < x.cols; ++i) {
      to[i] *= share;
      if (!factor.empty()) to[i] = (to[i] - bias.data[i]) * factor.data[i];
    }
  });
}

// The inputs of all positions of one output time, [out_frequencies, 9 * channels].
void TowerOps::gather_taps(Matrix x, int32_t channels, int64_t time, int64_t out_frequencies,
                           float* taps) const {
  const int64_t frequencies = x.cols / channels;
  for (int64_t f = 0; f < out_frequencies; ++f) {
    for (int64_t tap = 0; tap < 9; ++tap, taps += channels) {
      const int64_t t = 2 * time - 1 + tap / 3;
      const int64_t from = 2 * f - 1 + tap % 3;
      if (t < 0 || t >= x.rows || from < 0 || from >= frequencies) {
        std::fill(taps, taps + channels, 0.0f);
      } else {
        std::memcpy(taps, x.row(t) + from * channels,
                    static_cast<size_t>(channels) * sizeof(float));
      }
    }
  }
}

void TowerOps::subsample(Matrix x, const Subsampling& stage, Matrix out) {
  constexpr int64_t kTimes = 8;  // rows of time whose taps are gathered for one product
  const int64_t depth = 9 * stage.channels;
  const int64_t out_channels = stage.weight.rows;
  const int64_t out_frequencies = out.cols / out_channels;
  const int64_t gathered = kTimes * out_frequencies * depth;
  const int64_t packing = (gathered + 15) / 16 * 16;
  scratch_.reserve_threads();
  parallel_items((out.rows + kTimes - 1) / kTimes, [&](int64_t item) {
    float* taps = scratch_.mine().floats(packing + kernels_.products.gemm_scratch());
    const int64_t begin = item * kTimes;
    const int64_t end = std::min(begin + kTimes, out.rows);
    for (int64_t t = begin; t < end; ++t) {
      gather_taps(x, stage.channels, t, out_frequencies,
                  taps + (t - begin) * out_frequencies * depth);
    }
    const int64_t positions = (end - begin) * out_frequencies;
    float* to = out.row(begin);
    const DenseProduct product{taps,
                               depth,
                               positions,
                               stage.weight.dense.data,
                               element_type(stage.weight),
                               depth,
                               out_channels,
                               depth,
                               to,
                               out_channels};
    kernels_.products.gemm(product, taps + packing);
    for (int64_t p = 0; p < positions; ++p, to += out_channels) {
      kernels_.towers.layer_norm(to, stage.norm.data, nullptr, stage.eps, 0.0f, out_channels, to);
    }
  });
}

// One row against the keys from `first` on. `scratch` holds left_keys * 2 + head_dim floats.
void TowerOps::attend(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                      int64_t first, int64_t row, float* scratch, Matrix out) const {
  const int64_t d = attention.head_dim;
  const int64_t count = row - first + 1;
  float* query = scratch;
  float* scores = query + d;                       // [count], oldest key first
  float* relative = scores + attention.left_keys;  // [count], by distance
  for (int64_t h = 0; h < q.cols; h += d) {
    std::fill(query, query + d, 0.0f);
    kernels_.towers.multiply_add(q.row(row) + h, attention.query_scale.data, d, query);
    kernels_.products.matvec(
        {query, d, 1, k.row(first) + h, Element::kF32, q.cols, count, d, scores, count});
    kernels_.products.matvec({query, d, 1, attention.relative_keys.data + h, Element::kF32, q.cols,
                              count, d, relative, count});
    for (int64_t j = 0; j < count; ++j) {
      const float score = scores[j] * attention.key_scale + relative[count - 1 - j];
      scores[j] = attention.softcap * std::tanh(score / attention.softcap);
    }
    const float largest = *std::max_element(scores, scores + count);
    const auto total =
        static_cast<float>(kernels_.rows.exp_sum(scores, largest, 1.0f, count, scores));
    float* to = out.row(row) + h;
    std::fill(to, to + d, 0.0f);
    for (int64_t j = 0; j < count; ++j) {
      kernels_.rows.axpy(scores[j] / total, v.row(first + j) + h, d, to);
    }
  }
}

void TowerOps::relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                                  std::span<const RowSpan> clips, Matrix out) {
  scratch_.reserve_threads();
  for_each_row(q.rows, q.cols * attention.left_keys, [&](int64_t r) {
    float* scratch = scratch_.mine().floats(attention.head_dim + 2 * attention.left_keys);
    const int64_t first = std::max(clip_of(clips, r).begin, r - attention.left_keys + 1);
    attend(q, k, v, attention, first, r, scratch, out);
  });
}

void TowerOps::light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips,
                          Matrix out) {
  const int64_t channels = out.cols;
  const Matrix gated{gate_.floats(x.rows * channels), Dtype::kF32, x.rows, channels};
  for_each_row(x.rows, channels, [&](int64_t r) {
    kernels_.towers.glu(x.row(r), x.row(r) + channels, channels, gated.row(r));
  });
  for_each_row(x.rows, channels * conv.taps, [&](int64_t r) {
    float* to = out.row(r);
    std::fill(to, to + channels, 0.0f);
    const int64_t first = std::max(clip_of(clips, r).begin, r - conv.taps + 1);
    for (int64_t t = first; t <= r; ++t) {
      const float* tap = conv.kernel.data + (t - r + conv.taps - 1) * channels;
      kernels_.towers.multiply_add(tap, gated.row(t), channels, to);
    }
    kernels_.rows.rms_norm(to, conv.norm.data, conv.eps, channels, to);
    kernels_.towers.silu(to, channels, to);
  });
}

}  // namespace gemma4::cpu
