#include "kernels/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "kernels/host_buffer.h"
#include "kernels/reference/kv_array.h"
#include "kernels/reference/tower_ops.h"
#include "lib/base/error.h"
#include "lib/base/scalar_types.h"
#include "lib/quant/activation_quant.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4 {
namespace reference {

float element(const Tensor& tensor, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  const auto i = static_cast<size_t>(index);
  switch (tensor.dtype) {
    case Dtype::kF32: {
      float value;
      std::memcpy(&value, bytes + i * 4, 4);
      return value;
    }
    case Dtype::kBf16: {
      Bf16 value;
      std::memcpy(&value, bytes + i * 2, 2);
      return to_float(value);
    }
    case Dtype::kF16: {
      F16 value;
      std::memcpy(&value, bytes + i * 2, 2);
      return to_float(value);
    }
    default:
      throw Error(ErrorKind::kInternal, "not a float tensor", dtype_name(tensor.dtype));
  }
}

void weight_row(const Weight& weight, int64_t row, float* out) {
  if (weight.quantized) {
    dequantize_row(*weight.quantized, row, out);
    return;
  }
  for (int64_t k = 0; k < weight.cols; ++k) out[k] = element(weight.dense, row * weight.cols + k);
}

namespace {

std::vector<float> round_activations(const QuantizedMatrix& matrix, const float* x) {
  std::vector<float> rounded(x, x + matrix.cols);
  const float scale = matrix.activation == ActivationScheme::kDynamicInt8
                          ? dynamic_int8_scale(rounded)
                          : matrix.input_scale;
  for (float& value : rounded) value = static_range_quantize(value, scale);
  return rounded;
}

}  // namespace

void multiply(const Weight& weight, const float* x, float* out) {
  // What a checkpoint defines for the activations that meet a matrix (ruling 2).
  std::vector<float> rounded;
  if (weight.quantized && weight.quantized->activation != ActivationScheme::kNone) {
    rounded = round_activations(*weight.quantized, x);
    x = rounded.data();
  }
  std::vector<float> row(static_cast<size_t>(weight.cols));
  for (int64_t n = 0; n < weight.rows; ++n) {
    weight_row(weight, n, row.data());
    double sum = 0.0;
    for (int64_t k = 0; k < weight.cols; ++k) sum += static_cast<double>(row[k]) * x[k];
    out[n] = static_cast<float>(sum);
  }
  if (weight.quantized && weight.quantized->activation == ActivationScheme::kStaticInt8) {
    for (int64_t n = 0; n < weight.rows; ++n) {
      out[n] = static_range_quantize(out[n], weight.quantized->output_scale);
    }
  }
}

float gelu(float z) {
  const double x = z;
  const double inner = std::sqrt(2.0 / M_PI) * (x + 0.044715 * x * x * x);
  return static_cast<float>(0.5 * x * (1.0 + std::tanh(inner)));
}

void rms_norm(const float* x, const float* weight, float eps, int64_t size, float* out) {
  double sum = 0.0;
  for (int64_t i = 0; i < size; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double scale = 1.0 / std::sqrt(sum / static_cast<double>(size) + eps);
  for (int64_t i = 0; i < size; ++i) {
    const double normed = x[i] * scale;
    out[i] = static_cast<float>(weight == nullptr ? normed : normed * weight[i]);
  }
}

void mlp(const MlpWeights& weights, const float* x, float* out) {
  std::vector<float> gate(static_cast<size_t>(weights.gate.rows));
  std::vector<float> up(gate.size());
  multiply(weights.gate, x, gate.data());
  multiply(weights.up, x, up.data());
  for (size_t i = 0; i < gate.size(); ++i) gate[i] = gelu(gate[i]) * up[i];
  multiply(weights.down, gate.data(), out);
}

// One query head at a time: scores over its key range, softmax, weighted sum of values.
void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out) {
  const int64_t head_dim = layer.head_dim;
  const int64_t num_heads = q.cols / head_dim;
  const int64_t group = num_heads / layer.num_kv_heads;
  const KvPages& pages = step.pages_of(layer.kind);
  const KvArray keys = KvArray::keys(layer);
  const KvArray values = KvArray::values(layer);
  for (int64_t r = 0; r < q.rows; ++r) {
    const KeyRange range = step.visible_of(layer.kind)[static_cast<size_t>(r)];
    const int32_t sequence = step.sequences[static_cast<size_t>(r)];
    for (int64_t h = 0; h < num_heads; ++h) {
      const float* query = q.row(r) + h * head_dim;
      float* result = out.row(r) + h * head_dim;
      std::vector<double> scores;
      std::vector<int64_t> vectors;
      for (int32_t t = range.begin; t < range.end; ++t) {
        vectors.push_back(kv_vector(layer, pages.slot(sequence, t), h / group));
        double score = 0.0;
        for (int64_t j = 0; j < head_dim; ++j) {
          score += static_cast<double>(query[j]) * keys.load(vectors.back(), j);
        }
        scores.push_back(score);
      }
      const double largest = *std::max_element(scores.begin(), scores.end());
      double total = 0.0;
      for (double& score : scores) total += score = std::exp(score - largest);
      for (int64_t j = 0; j < head_dim; ++j) {
        double sum = 0.0;
        for (size_t t = 0; t < scores.size(); ++t) {
          sum += scores[t] * values.load(vectors[t], j);
        }
        result[j] = static_cast<float>(sum / total);
      }
    }
  }
}

}  // namespace reference

namespace {

class ReferenceOps : public Ops {
 public:
  std::string_view name() const override { return "reference"; }

  std::unique_ptr<Buffer> allocate(size_t bytes) override { return allocate_host_buffer(bytes); }
  void copy_to_host(void* host, const void* device, size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void copy_from_host(void* device, const void* host, size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  Dtype activation_dtype() const override { return Dtype::kF32; }

  Vector upload(const Tensor& vector) override {
    Vector out;
    out.size = vector.elements();
    out.buffer = allocate(static_cast<size_t>(out.size) * 4);
    auto* values = static_cast<float*>(out.buffer->data());
    for (int64_t i = 0; i < out.size; ++i) values[i] = reference::element(vector, i);
    out.data = values;
    return out;
  }

  void prepare(Weight&) override {}
  void begin_step(Step&) override {}
  void end_step(Step&) override {}

  void embed(const Step& step, const Weight& table, float scale, Matrix out) override {
    for (int64_t r = 0; r < out.rows; ++r) {
      reference::weight_row(table, step.tokens[static_cast<size_t>(r)], out.row(r));
      for (int64_t i = 0; i < out.cols; ++i) out.row(r)[i] *= scale;
    }
    for (size_t i = 0; i < step.soft_rows.size(); ++i) {
      std::memcpy(out.row(step.soft_rows[i]), step.soft_embeddings[i],
                  static_cast<size_t>(out.cols) * sizeof(float));
    }
  }

  void rms_norm(Matrix x, const Vector& weight, float eps, Matrix out) override {
    for (int64_t r = 0; r < x.rows; ++r) {
      reference::rms_norm(x.row(r), weight.data, eps, x.cols, out.row(r));
    }
  }

  void linear(Matrix x, std::span<const LinearTarget> targets) override {
    for (const LinearTarget& target : targets) {
      for (int64_t r = 0; r < x.rows; ++r) {
        reference::multiply(*target.weight, x.row(r), target.out.row(r));
      }
    }
  }

  void head_norm_rope(const Step& step, Matrix x, int32_t head_dim, const Vector& weight, float eps,
                      const RopeTable* rope) override {
    const int64_t half = head_dim / 2;
    for (int64_t r = 0; r < x.rows; ++r) {
      const float position = static_cast<float>(step.positions[static_cast<size_t>(r)]);
      for (int64_t h = 0; h < x.cols / head_dim; ++h) {
        float* head = x.row(r) + h * head_dim;
        reference::rms_norm(head, weight.data, eps, head_dim, head);
        if (rope == nullptr) continue;
        for (int64_t j = 0; j < half; ++j) {
          // The angle is a float32 product in the official implementation: its rounding matters
          // at large positions.
          const float angle = position * rope->inverse_frequency.data[j];
          const float cosine = static_cast<float>(std::cos(static_cast<double>(angle)));
          const float sine = static_cast<float>(std::sin(static_cast<double>(angle)));
          const float a = head[j];
          const float b = head[j + half];
          head[j] = a * cosine - b * sine;
          head[j + half] = b * cosine + a * sine;
        }
      }
    }
  }

  void append_kv(const Step& step, Matrix k, Matrix v, const KvLayer& layer) override {
    for (int64_t r = 0; r < k.rows; ++r) {
      const auto i = static_cast<size_t>(r);
      const int64_t slot = step.pages_of(layer.kind).slot(step.sequences[i], step.positions[i]);
      for (int64_t h = 0; h < layer.num_kv_heads; ++h) {
        const int64_t to = reference::kv_vector(layer, slot, h);
        reference::KvArray::keys(layer).store(to, k.row(r) + h * layer.head_dim);
        reference::KvArray::values(layer).store(to, v.row(r) + h * layer.head_dim);
      }
    }
  }

  void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out) override {
    reference::attention(step, q, layer, out);
  }

  void close_block(Matrix x, Matrix branch, const Vector& post_norm, float eps, float scale,
                   const Vector& next_norm, Matrix normed) override {
    std::vector<float> closed(static_cast<size_t>(x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
      reference::rms_norm(branch.row(r), post_norm.data, eps, x.cols, closed.data());
      for (int64_t i = 0; i < x.cols; ++i) x.row(r)[i] = (x.row(r)[i] + closed[i]) * scale;
      if (normed.data != nullptr) {
        reference::rms_norm(x.row(r), next_norm.data, eps, x.cols, normed.row(r));
      }
    }
  }

  void gated_mlp(Matrix x, const MlpWeights& weights, Matrix out) override {
    for (int64_t r = 0; r < x.rows; ++r) reference::mlp(weights, x.row(r), out.row(r));
  }

  void route_experts(Matrix x, const RouterWeights& router, float eps,
                     const Routing& out) override {
    const int64_t num_experts = router.projection.rows;
    std::vector<float> u(static_cast<size_t>(x.cols));
    std::vector<float> scores(static_cast<size_t>(num_experts));
    std::vector<int32_t> order(static_cast<size_t>(num_experts));
    const double shrink = 1.0 / std::sqrt(static_cast<double>(x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
      reference::rms_norm(x.row(r), nullptr, eps, x.cols, u.data());
      for (int64_t i = 0; i < x.cols; ++i) {
        u[i] = static_cast<float>(u[i] * router.scale.data[i] * shrink);
      }
      reference::multiply(router.projection, u.data(), scores.data());
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(),
                       [&](int32_t a, int32_t b) { return scores[a] > scores[b]; });
      double total = 0.0;  // softmax over all experts, renormalised over the chosen ones
      for (int32_t k = 0; k < out.top_k; ++k) {
        total += std::exp(static_cast<double>(scores[order[k]]) - scores[order[0]]);
      }
      for (int32_t k = 0; k < out.top_k; ++k) {
        const int32_t expert = order[k];
        const double p = std::exp(static_cast<double>(scores[expert]) - scores[order[0]]) / total;
        out.experts[r * out.top_k + k] = expert;
        out.weights[r * out.top_k + k] =
            static_cast<float>(p * router.per_expert_scale.data[expert]);
      }
    }
  }

  void expert_mlp(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                  Matrix out) override {
    std::vector<float> result(static_cast<size_t>(x.cols));
    for (int64_t r = 0; r < x.rows; ++r) {
      std::vector<double> sum(static_cast<size_t>(x.cols), 0.0);
      for (int32_t k = 0; k < routing.top_k; ++k) {
        const auto expert = static_cast<size_t>(routing.experts[r * routing.top_k + k]);
        const double weight = routing.weights[r * routing.top_k + k];
        reference::mlp(experts[expert], x.row(r), result.data());
        for (int64_t i = 0; i < x.cols; ++i) sum[i] += weight * result[i];
      }
      for (int64_t i = 0; i < x.cols; ++i) out.row(r)[i] = static_cast<float>(sum[i]);
    }
  }

  void per_layer_embed(const Step& step, Matrix x, const Weight& table, float table_scale,
                       const Weight& projection, const Vector& norm, float eps, int32_t first_layer,
                       int32_t layer_count, Matrix out) override {
    const int64_t width = norm.size;
    const double shrink = 1.0 / std::sqrt(static_cast<double>(x.cols));
    std::vector<float> looked_up(static_cast<size_t>(table.cols));
    std::vector<float> projected(static_cast<size_t>(projection.rows));
    for (int64_t r = 0; r < x.rows; ++r) {
      const int32_t id = step.tokens[static_cast<size_t>(r)];
      reference::weight_row(table, id < table.rows ? id : 0, looked_up.data());
      reference::multiply(projection, x.row(r), projected.data());
      for (float& value : projected) value = static_cast<float>(value * shrink);
      for (int32_t l = 0; l < layer_count; ++l) {
        const int64_t from = (first_layer + l) * width;
        float* to = out.row(r) + l * width;
        reference::rms_norm(projected.data() + from, norm.data, eps, width, to);
        for (int64_t i = 0; i < width; ++i) {
          to[i] = static_cast<float>((to[i] + looked_up[from + i] * table_scale) * M_SQRT1_2);
        }
      }
    }
  }

  void per_layer_inject(Matrix x, const Weight& gate, const Weight& projection, Matrix inputs,
                        int32_t layer, Matrix out) override {
    std::vector<float> gated(static_cast<size_t>(gate.rows));
    for (int64_t r = 0; r < x.rows; ++r) {
      reference::multiply(gate, x.row(r), gated.data());
      const float* input = inputs.row(r) + layer * gate.rows;
      for (int64_t i = 0; i < gate.rows; ++i) gated[i] = reference::gelu(gated[i]) * input[i];
      reference::multiply(projection, gated.data(), out.row(r));
    }
  }

  void gather_rows(Matrix src, std::span<const int32_t> rows, Matrix dst) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(dst.row(static_cast<int64_t>(i)), src.row(rows[i]),
                  static_cast<size_t>(src.cols) * sizeof(float));
    }
  }

  void logits(Matrix x, const Weight& head, float softcap, Matrix out) override {
    for (int64_t r = 0; r < x.rows; ++r) {
      reference::multiply(head, x.row(r), out.row(r));
      if (softcap == 0.0f) continue;
      for (int64_t i = 0; i < out.cols; ++i) {
        out.row(r)[i] = softcap * std::tanh(out.row(r)[i] / softcap);
      }
    }
  }

  void sample(Matrix logits, std::span<const SampleRow> rows, int32_t* tokens) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      tokens[i] = reference::sample(logits.row(static_cast<int64_t>(i)), logits.cols, rows[i]);
    }
  }

  void judge_canvas(Matrix logits, std::span<const CanvasRow> rows,
                    CanvasChoice* choices) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      choices[i] =
          reference::judge_canvas(logits.row(static_cast<int64_t>(i)), logits.cols, rows[i]);
    }
  }

  void embed_mixture(Matrix p, const Weight& table, float scale, Matrix out) override {
    for (int64_t r = 0; r < p.rows; ++r) {
      reference::embed_mixture(p.row(r), table, scale, out.row(r));
    }
  }

  void clipped_linear(Matrix x, std::span<const ClippedTarget> targets) override {
    for (const ClippedTarget& target : targets) {
      reference::clipped_linear(x, *target.linear, target.out);
    }
  }

  void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps,
                    Matrix normed) override {
    reference::add_residual(x, branch, next_norm, eps, normed);
  }

  void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) override {
    reference::clipped_mlp(x, weights, out);
  }

  void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps,
                  Matrix out) override {
    reference::layer_norm(x, weight, bias, eps, out);
  }

  void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) override {
    reference::add_table_rows(x, table, rows);
  }

  void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps, Matrix cosine,
                         Matrix sine) override {
    reference::head_norm_rope_2d(x, head_dim, weight, eps, cosine, sine);
  }

  void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
            const Vector& factor, Matrix out) override {
    reference::pool(x, columns, kernel, scale, bias, factor, out);
  }

  void subsample(Matrix x, const Subsampling& stage, Matrix out) override {
    reference::subsample(x, stage, out);
  }

  void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                          std::span<const RowSpan> clips, Matrix out) override {
    reference::relative_attention(q, k, v, attention, clips, out);
  }

  void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips,
                  Matrix out) override {
    reference::light_conv(x, conv, clips, out);
  }
};

}  // namespace

std::unique_ptr<Ops> make_reference_ops() { return std::make_unique<ReferenceOps>(); }

}  // namespace gemma4
