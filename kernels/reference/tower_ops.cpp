#include "kernels/reference/tower_ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/reference_ops.h"

namespace gemma4::reference {
namespace {

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

void normalise(const float* x, const float* weight, const float* bias, float eps, int64_t size,
               float* out) {
  double mean = 0.0;
  for (int64_t i = 0; i < size; ++i) mean += x[i];
  mean /= static_cast<double>(size);
  double variance = 0.0;
  for (int64_t i = 0; i < size; ++i) variance += (x[i] - mean) * (x[i] - mean);
  const double scale = 1.0 / std::sqrt(variance / static_cast<double>(size) + eps);
  for (int64_t i = 0; i < size; ++i) {
    const double shift = bias == nullptr ? 0.0 : bias[i];
    out[i] = static_cast<float>((x[i] - mean) * scale * weight[i] + shift);
  }
}

// Pairs (j, j + pairs) of x, by the angles whose cosines and sines are given.
void rotate(float* x, const float* cosine, const float* sine, int64_t pairs) {
  for (int64_t j = 0; j < pairs; ++j) {
    const float a = x[j];
    const float b = x[j + pairs];
    x[j] = a * cosine[j] - b * sine[j];
    x[j + pairs] = b * cosine[j] + a * sine[j];
  }
}

}  // namespace

void clipped_linear(Matrix x, const ClippedLinear& linear, Matrix out) {
  std::vector<float> input(static_cast<size_t>(x.cols));
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t i = 0; i < x.cols; ++i) {
      input[static_cast<size_t>(i)] = std::clamp(x.row(r)[i], linear.input_min, linear.input_max);
    }
    multiply(linear.weight, input.data(), out.row(r));
    for (int64_t n = 0; n < out.cols; ++n) {
      float& value = out.row(r)[n];
      value = std::clamp(value, linear.output_min, linear.output_max);
      if (!linear.bias.empty()) value += linear.bias.data[n];
    }
  }
}

void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps, Matrix normed) {
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t i = 0; i < x.cols; ++i) x.row(r)[i] += branch.row(r)[i];
    rms_norm(x.row(r), next_norm.data, eps, x.cols, normed.row(r));
  }
}

void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) {
  const int64_t width = weights.gate.weight.rows;
  std::vector<float> gate(static_cast<size_t>(x.rows * width));
  std::vector<float> up(gate.size());
  const Matrix inner{gate.data(), Dtype::kF32, x.rows, width};
  clipped_linear(x, weights.gate, inner);
  if (weights.up.weight.empty()) {
    for (float& value : gate) value = static_cast<float>(value * sigmoid(value));
  } else {
    clipped_linear(x, weights.up, {up.data(), Dtype::kF32, x.rows, width});
    for (size_t i = 0; i < gate.size(); ++i) gate[i] = gelu(gate[i]) * up[i];
  }
  clipped_linear(inner, weights.down, out);
}

void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps, Matrix out) {
  for (int64_t r = 0; r < x.rows; ++r) {
    normalise(x.row(r), weight.data, bias.data, eps, x.cols, out.row(r));
  }
}

void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) {
  std::vector<float> first(static_cast<size_t>(x.cols));
  std::vector<float> second(first.size());
  for (int64_t r = 0; r < x.rows; ++r) {
    weight_row(table, rows[static_cast<size_t>(2 * r)], first.data());
    weight_row(table, rows[static_cast<size_t>(2 * r + 1)], second.data());
    for (int64_t i = 0; i < x.cols; ++i) {
      x.row(r)[i] += first[static_cast<size_t>(i)] + second[static_cast<size_t>(i)];
    }
  }
}

void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps, Matrix cosine,
                       Matrix sine) {
  const int64_t pairs = head_dim / 4;
  for (int64_t r = 0; r < x.rows; ++r) {
    for (int64_t h = 0; h < x.cols; h += head_dim) {
      float* head = x.row(r) + h;
      rms_norm(head, weight.data, eps, head_dim, head);
      rotate(head, cosine.row(r), sine.row(r), pairs);
      rotate(head + 2 * pairs, cosine.row(r) + pairs, sine.row(r) + pairs, pairs);
    }
  }
}

void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
          const Vector& factor, Matrix out) {
  const int64_t wide = columns / kernel;
  for (int64_t o = 0; o < out.rows; ++o) {
    for (int64_t i = 0; i < x.cols; ++i) {
      double sum = 0.0;
      for (int64_t dy = 0; dy < kernel; ++dy) {
        for (int64_t dx = 0; dx < kernel; ++dx) {
          sum += x.row((o / wide * kernel + dy) * columns + o % wide * kernel + dx)[i];
        }
      }
      double value = sum / (kernel * kernel) * scale;
      if (!factor.empty()) value = (value - bias.data[i]) * factor.data[i];
      out.row(o)[i] = static_cast<float>(value);
    }
  }
}

void subsample(Matrix x, const Subsampling& stage, Matrix out) {
  const int64_t channels = stage.channels;
  const int64_t frequencies = x.cols / channels;
  const int64_t out_channels = stage.weight.rows;
  std::vector<float> taps(static_cast<size_t>(9 * channels));
  for (int64_t t = 0; t < out.rows; ++t) {
    for (int64_t f = 0; f < out.cols / out_channels; ++f) {
      std::fill(taps.begin(), taps.end(), 0.0f);  // beyond the border
      for (int64_t tap = 0; tap < 9; ++tap) {
        const int64_t time = 2 * t - 1 + tap / 3;
        const int64_t frequency = 2 * f - 1 + tap % 3;
        if (time < 0 || time >= x.rows || frequency < 0 || frequency >= frequencies) continue;
        std::copy_n(x.row(time) + frequency * channels, channels, taps.begin() + tap * channels);
      }
      float* position = out.row(t) + f * out_channels;
      multiply(stage.weight, taps.data(), position);
      normalise(position, stage.norm.data, nullptr, stage.eps, out_channels, position);
      for (int64_t c = 0; c < out_channels; ++c) position[c] = std::max(0.0f, position[c]);
    }
  }
}

void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                        std::span<const RowSpan> clips, Matrix out) {
  const int64_t d = attention.head_dim;
  for (const RowSpan clip : clips) {
    for (int64_t t = clip.begin; t < clip.end; ++t) {
      const int64_t first = std::max(clip.begin, t - attention.left_keys + 1);
      for (int64_t h = 0; h < q.cols; h += d) {
        std::vector<double> scores;
        for (int64_t j = first; j <= t; ++j) {
          const float* relative = attention.relative_keys.data + (t - j) * q.cols + h;
          double score = 0.0;
          for (int64_t i = 0; i < d; ++i) {
            const double query = q.row(t)[h + i] * attention.query_scale.data[i];
            const double key = static_cast<double>(k.row(j)[h + i]) * attention.key_scale;
            score += query * (key + relative[i]);
          }
          scores.push_back(attention.softcap * std::tanh(score / attention.softcap));
        }
        const double largest = *std::max_element(scores.begin(), scores.end());
        double total = 0.0;
        for (double& score : scores) total += score = std::exp(score - largest);
        for (int64_t i = 0; i < d; ++i) {
          double sum = 0.0;
          for (int64_t j = first; j <= t; ++j) {
            sum += scores[static_cast<size_t>(j - first)] * v.row(j)[h + i];
          }
          out.row(t)[h + i] = static_cast<float>(sum / total);
        }
      }
    }
  }
}

void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips, Matrix out) {
  const int64_t channels = out.cols;
  const auto gated = [&](int64_t t, int64_t c) {
    return x.row(t)[c] * sigmoid(x.row(t)[channels + c]);
  };
  for (const RowSpan clip : clips) {
    for (int64_t t = clip.begin; t < clip.end; ++t) {
      float* row = out.row(t);
      for (int64_t c = 0; c < channels; ++c) {
        double sum = 0.0;
        for (int64_t j = 0; j < conv.taps; ++j) {
          const int64_t from = t - conv.taps + 1 + j;
          if (from >= clip.begin) sum += conv.kernel.data[j * channels + c] * gated(from, c);
        }
        row[c] = static_cast<float>(sum);
      }
      rms_norm(row, conv.norm.data, conv.eps, channels, row);
      for (int64_t c = 0; c < channels; ++c) row[c] = static_cast<float>(row[c] * sigmoid(row[c]));
    }
  }
}

}  // namespace gemma4::reference
