#include "kernels/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/canvas_ops.h"
#include "kernels/cpu/kernel_table.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/sampler.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/tower_ops.h"
#include "kernels/host_buffer.h"
#include "kernels/product_report.h"
#include "lib/base/cpu_features.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace cpu {
namespace {

KernelTable kernels_of_this_cpu(CpuLevel at_most) {
  const CpuFeatures& features = cpu_features();
  if (features.avx512 && at_most >= CpuLevel::kAvx512) {
    const bool vnni = features.avx512_vnni && at_most >= CpuLevel::kAvx512Vnni;
    const bool bf16 = features.avx512_bf16 && at_most >= CpuLevel::kAvx512Bf16;
    return {row_kernels_avx512(),
            product_kernels_avx512(),
            attention_kernels_avx512(),
            tower_kernels_avx512(),
            vnni ? quant_kernels_avx512vnni() : quant_kernels_avx512(),
            bf16 ? bf16_product_avx512bf16 : nullptr};
  }
  if (features.avx2) {
    return {row_kernels_avx2(),   product_kernels_avx2(), attention_kernels_avx2(),
            tower_kernels_avx2(), quant_kernels_avx2(),   nullptr};
  }
  throw Error(ErrorKind::kResource, "this CPU cannot run the cpu backend", features.brand,
              "it needs AVX2, FMA and F16C; use --device reference or cuda");
}

/// Nothing: to be measured.
std::optional<ProductPath> bf16_products(const CpuOptions& options, const KernelTable& kernels) {
  if (options.exact_activations) return ProductPath::kFma;
  if (!options.bf16_products && kernels.bf16_product == nullptr) return ProductPath::kFma;
  if ((options.bf16_products == ProductPath::kBf16Dot && kernels.bf16_product == nullptr) ||
      (options.bf16_products == ProductPath::kOneDnn && !cpu_features().avx512)) {
    throw Error(ErrorKind::kResource, "this CPU has no such bf16 product", cpu_features().brand,
                std::string(product_path_name(*options.bf16_products)));
  }
  return options.bf16_products;
}

/// Cosines and sines of a step's positions, [rows, head_dim / 2] each, for each table it met.
struct CpuStep : StepState {
  struct Rotation {
    const float* inverse_frequency;
    std::vector<float> cosine;
    std::vector<float> sine;
  };
  std::vector<Rotation> rotations;
};

/// Calls fn(begin, end) on ranges of rows, on one thread where there is little to do.
template <typename Fn>
void for_rows(int64_t rows, int64_t cols, const Fn& fn) {
  constexpr int64_t kWorthAThread = 16 * 1024;
  parallel_ranges(rows, std::max<int64_t>(1, kWorthAThread / std::max<int64_t>(cols, 1)), fn);
}

class CpuOps : public Ops, public ProductReporter {
 public:
  explicit CpuOps(const CpuOptions& options)
      : kernels_(kernels_of_this_cpu(options.at_most)),
        products_(kernels_, options.exact_activations, bf16_products(options, kernels_)),
        attention_(kernels_),
        towers_(kernels_, products_),
        canvas_(kernels_.rows, products_) {}

  std::string_view name() const override { return "cpu"; }

  std::unique_ptr<Buffer> allocate(size_t bytes) override { return allocate_host_buffer(bytes); }
  void copy_to_host(void* host, const void* device, size_t bytes) override {
    std::memcpy(host, device, bytes);
  }
  void copy_from_host(void* device, const void* host, size_t bytes) override {
    std::memcpy(device, host, bytes);
  }
  Dtype activation_dtype() const override { return Dtype::kF32; }

  Vector upload(const Tensor& vector) override {
    Weight as_weight;
    as_weight.rows = 1;
    as_weight.cols = vector.elements();
    as_weight.dense = vector;
    Vector out;
    out.size = as_weight.cols;
    out.buffer = allocate(static_cast<size_t>(out.size) * sizeof(float));
    auto* values = static_cast<float*>(out.buffer->data());
    kernels_.rows.widen(vector.data, element_type(as_weight), out.size, 1.0f, values);
    out.data = values;
    return out;
  }

  void prepare(Weight& weight) override { products_.prepare(weight); }
  ProductReport product_report(const Weight& weight) const override {
    return products_.report(weight);
  }
  void begin_step(Step& step) override { step.state = std::make_unique<CpuStep>(); }
  void end_step(Step& step) override { step.state.reset(); }

  void embed(const Step& step, const Weight& table, float scale, Matrix out) override {
    for_rows(out.rows, out.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int32_t id = step.tokens[static_cast<size_t>(r)];
        products_.row(table, id, 0, out.cols, scale, out.row(r));
      }
    });
    for (size_t i = 0; i < step.soft_rows.size(); ++i) {
      std::memcpy(out.row(step.soft_rows[i]), step.soft_embeddings[i],
                  static_cast<size_t>(out.cols) * sizeof(float));
    }
  }

  void rms_norm(Matrix x, const Vector& weight, float eps, Matrix out) override {
    for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels_.rows.rms_norm(x.row(r), weight.data, eps, x.cols, out.row(r));
      }
    });
  }

  void linear(Matrix x, std::span<const LinearTarget> targets) override {
    jobs_.clear();
    for (const LinearTarget& target : targets) jobs_.push_back(job(x, *target.weight, target.out));
    products_.run(jobs_);
  }

  void head_norm_rope(const Step& step, Matrix x, int32_t head_dim, const Vector& weight, float eps,
                      const RopeTable* rope) override {
    const int64_t half = head_dim / 2;
    const CpuStep::Rotation* rotation =
        rope == nullptr ? nullptr : &rotation_of(step, *rope, head_dim / 2);
    for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        for (float* head = x.row(r); head < x.row(r) + x.cols; head += head_dim) {
          kernels_.rows.rms_norm(head, weight.data, eps, head_dim, head);
          if (rotation == nullptr) continue;
          kernels_.rows.rotate(head, rotation->cosine.data() + r * half,
                               rotation->sine.data() + r * half, half);
        }
      }
    });
  }

  void append_kv(const Step& step, Matrix k, Matrix v, const KvLayer& layer) override {
    const KvPages& pages = step.pages_of(layer.kind);
    for_rows(k.rows, k.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const auto i = static_cast<size_t>(r);
        const int64_t slot = pages.slot(step.sequences[i], step.positions[i]);
        const int64_t block = slot / layer.block_size;
        for (int64_t h = 0; h < layer.num_kv_heads; ++h) {
          const int64_t to =
              (block * layer.num_kv_heads + h) * layer.block_size + slot % layer.block_size;
          store_kv(k.row(r) + h * layer.head_dim, layer, layer.keys, layer.key_scales,
                   layer.key_scale, to);
          store_kv(v.row(r) + h * layer.head_dim, layer, layer.values, layer.value_scales,
                   layer.value_scale, to);
        }
      }
    });
  }

  void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out) override {
    attention_.run(step, q, layer, out);
  }

  void close_block(Matrix x, Matrix branch, const Vector& post_norm, float eps, float scale,
                   const Vector& next_norm, Matrix normed) override {
    for_rows(x.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels_.rows.close_block(x.row(r), branch.row(r), post_norm.data, eps, scale,
                                  next_norm.data, normed.data == nullptr ? nullptr : normed.row(r),
                                  x.cols);
      }
    });
  }

  void gated_mlp(Matrix x, const MlpWeights& weights, Matrix out) override {
    constexpr int64_t kRows = 512;  // bounds the memory of the gate's and up's outputs
    for (int64_t first = 0; first < x.rows; first += kRows) {
      const int64_t rows = std::min(kRows, x.rows - first);
      const Matrix part{x.row(first), Dtype::kF32, rows, x.cols};
      const Matrix gate = scratch(gate_, rows, weights.gate.rows);
      const Matrix up = scratch(up_, rows, weights.up.rows);
      linear(part, std::vector<LinearTarget>{{&weights.gate, gate}, {&weights.up, up}});
      gelu_multiply(gate, up);
      jobs_ = {job(gate, weights.down, {out.row(first), Dtype::kF32, rows, out.cols})};
      products_.run(jobs_);
    }
  }

  void route_experts(Matrix x, const RouterWeights& router, float eps,
                     const Routing& out) override {
    const int64_t num_experts = router.projection.rows;
    const Matrix u = scratch(gate_, x.rows, x.cols);
    const Matrix scores = scratch(up_, x.rows, num_experts);
    rms_norm(x, router.scale, eps, u);
    jobs_ = {job(u, router.projection, scores)};
    jobs_[0].keep_float = true;  // a small product, and rounding would choose other experts
    products_.run(jobs_);
    const double shrink = 1.0 / std::sqrt(static_cast<double>(x.cols));
    for_rows(x.rows, num_experts * 16, [&](int64_t begin, int64_t end) {
      std::vector<int32_t> order(static_cast<size_t>(num_experts));
      for (int64_t r = begin; r < end; ++r) {
        choose_experts(scores.row(r), shrink, router, order, out.experts + r * out.top_k,
                       out.weights + r * out.top_k);
      }
    });
  }

  void expert_mlp(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                  Matrix out) override {
    constexpr int64_t kRows = 512;  // bounds the memory of the experts' inputs and outputs
    for (int64_t first = 0; first < x.rows; first += kRows) {
      const int64_t rows = std::min(kRows, x.rows - first);
      const Routing part{routing.experts + first * routing.top_k,
                         routing.weights + first * routing.top_k, rows, routing.top_k};
      expert_mlp_part({x.row(first), Dtype::kF32, rows, x.cols}, experts, part,
                      {out.row(first), Dtype::kF32, rows, out.cols});
    }
  }

  void per_layer_embed(const Step& step, Matrix x, const Weight& table, float table_scale,
                       const Weight& projection, const Vector& norm, float eps, int32_t first_layer,
                       int32_t layer_count, Matrix out) override {
    const int64_t width = norm.size;
    const int64_t first = first_layer * width;
    const int64_t cols = layer_count * width;
    const Matrix looked_up = scratch(up_, x.rows, cols);
    ProductJob projected = job(x, projection, out);
    projected.first = first;
    projected.count = cols;
    jobs_ = {projected};
    products_.run(jobs_);
    std::vector<uint8_t> soft(static_cast<size_t>(x.rows), 0);
    for (const int32_t r : step.soft_rows) soft[static_cast<size_t>(r)] = 1;
    for_rows(x.rows, cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int32_t id = step.tokens[static_cast<size_t>(r)];
        const bool known = soft[static_cast<size_t>(r)] == 0 && id >= 0 && id < table.rows;
        products_.row(table, known ? id : 0, first, cols, table_scale, looked_up.row(r));
        for (int64_t l = 0; l < cols; l += width) {
          float* to = out.row(r) + l;
          // rms_norm(c / sqrt(hidden)) with eps = rms_norm(c) with hidden * eps.
          kernels_.rows.rms_norm(to, norm.data, eps * static_cast<float>(x.cols), width, to);
          kernels_.rows.add_scale(looked_up.row(r) + l, static_cast<float>(M_SQRT1_2), width, to);
        }
      }
    });
  }

  void per_layer_inject(Matrix x, const Weight& gate, const Weight& projection, Matrix inputs,
                        int32_t layer, Matrix out) override {
    const Matrix gated = scratch(gate_, x.rows, gate.rows);
    jobs_ = {job(x, gate, gated)};
    products_.run(jobs_);
    for_rows(x.rows, gated.cols, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels_.rows.gelu_multiply(gated.row(r), inputs.row(r) + layer * gate.rows, gate.rows,
                                    gated.row(r));
      }
    });
    jobs_ = {job(gated, projection, out)};
    products_.run(jobs_);
  }

  void gather_rows(Matrix src, std::span<const int32_t> rows, Matrix dst) override {
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(dst.row(static_cast<int64_t>(i)), src.row(rows[i]),
                  static_cast<size_t>(src.cols) * sizeof(float));
    }
  }

  void logits(Matrix x, const Weight& head, float softcap, Matrix out) override {
    jobs_ = {job(x, head, out)};
    products_.run(jobs_);
    if (softcap == 0.0f) return;
    for_rows(out.rows * out.cols, 1, [&](int64_t begin, int64_t end) {
      kernels_.rows.softcap(out.f32() + begin, end - begin, softcap);
    });
  }

  void sample(Matrix logits, std::span<const SampleRow> rows, int32_t* tokens) override {
    while (samplers_.size() < static_cast<size_t>(num_threads())) {
      samplers_.emplace_back(kernels_.rows);
    }
    parallel_items(static_cast<int64_t>(rows.size()), [&](int64_t i) {
      Sampler& sampler = samplers_[static_cast<size_t>(thread_index())];
      tokens[i] = sampler.sample(logits.row(i), logits.cols, rows[static_cast<size_t>(i)]);
    });
  }

  void judge_canvas(Matrix logits, std::span<const CanvasRow> rows,
                    CanvasChoice* choices) override {
    canvas_.judge(logits, rows, choices);
  }

  void embed_mixture(Matrix p, const Weight& table, float scale, Matrix out) override {
    canvas_.embed_mixture(p, table, scale, out);
  }

  void clipped_linear(Matrix x, std::span<const ClippedTarget> targets) override {
    towers_.clipped_linear(x, targets);
  }

  void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps,
                    Matrix normed) override {
    towers_.add_residual(x, branch, next_norm, eps, normed);
  }

  void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) override {
    towers_.clipped_mlp(x, weights, out);
  }

  void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps,
                  Matrix out) override {
    towers_.layer_norm(x, weight, bias, eps, out);
  }

  void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) override {
    towers_.add_table_rows(x, table, rows);
  }

  void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps, Matrix cosine,
                         Matrix sine) override {
    towers_.head_norm_rope_2d(x, head_dim, weight, eps, cosine, sine);
  }

  void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
            const Vector& factor, Matrix out) override {
    towers_.pool(x, columns, kernel, scale, bias, factor, out);
  }

  void subsample(Matrix x, const Subsampling& stage, Matrix out) override {
    towers_.subsample(x, stage, out);
  }

  void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                          std::span<const RowSpan> clips, Matrix out) override {
    towers_.relative_attention(q, k, v, attention, clips, out);
  }

  void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips,
                  Matrix out) override {
    towers_.light_conv(x, conv, clips, out);
  }

 private:
  static ProductJob job(Matrix x, const Weight& weight, Matrix out) {
    return {&weight, 0, weight.rows, x.f32(), x.cols, x.rows, out.f32(), out.cols};
  }

  static Matrix scratch(cpu::Scratch& memory, int64_t rows, int64_t cols) {
    return {memory.floats(rows * cols), Dtype::kF32, rows, cols};
  }

  /// gate = gelu(gate) * up
  void gelu_multiply(Matrix gate, Matrix up) const {
    for_rows(gate.rows * gate.cols, 4, [&](int64_t begin, int64_t end) {
      float* to = gate.f32() + begin;
      kernels_.rows.gelu_multiply(to, up.f32() + begin, end - begin, to);
    });
  }

  /// Stores one head as head vector `to` of an array of keys or values.
  void store_kv(const float* head, const KvLayer& layer, void* array, float* scales, float scale,
                int64_t to) const {
    const int64_t d = layer.head_dim;
    switch (layer.dtype) {
      case Dtype::kF32:
        std::memcpy(static_cast<float*>(array) + to * d, head,
                    static_cast<size_t>(d) * sizeof(float));
        return;
      case Dtype::kI8:
        scales[to] = kernels_.rows.narrow_to_kv_int8(head, d, static_cast<int8_t*>(array) + to * d);
        return;
      case Dtype::kF8E4M3:
        kernels_.rows.narrow_to_kv_fp8(head, scale, d, static_cast<uint8_t*>(array) + to * d);
        return;
      default:
        kernels_.rows.narrow_to_bf16(head, d, static_cast<uint16_t*>(array) + to * d);
    }
  }

  /// Computed by the first operation of a step that needs it.
  static const CpuStep::Rotation& rotation_of(const Step& step, const RopeTable& rope,
                                              int64_t half) {
    auto* state = dynamic_cast<CpuStep*>(step.state.get());
    if (state == nullptr) throw Error(ErrorKind::kInternal, "the step was not announced");
    const float* frequency = rope.inverse_frequency.data;
    for (const CpuStep::Rotation& known : state->rotations) {
      if (known.inverse_frequency == frequency) return known;
    }
    CpuStep::Rotation rotation{frequency, {}, {}};
    const int64_t rows = step.rows();
    rotation.cosine.resize(static_cast<size_t>(rows * half));
    rotation.sine.resize(static_cast<size_t>(rows * half));
    for_rows(rows, half * 32, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * half; i < end * half; ++i) {
        // The angle is a float32 product in the official implementation.
        const auto position = static_cast<float>(step.positions[static_cast<size_t>(i / half)]);
        const float angle = position * frequency[i % half];
        rotation.cosine[static_cast<size_t>(i)] = std::cos(angle);
        rotation.sine[static_cast<size_t>(i)] = std::sin(angle);
      }
    });
    state->rotations.push_back(std::move(rotation));
    return state->rotations.back();
  }

  /// Softmax over all experts renormalised over the chosen ones is softmax over these.
  static void choose_experts(const float* scores, double shrink, const RouterWeights& router,
                             std::vector<int32_t>& order, int32_t* experts, float* weights) {
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + router.top_k, order.end(),
                      [&](int32_t a, int32_t b) {
                        return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                      });
    double total = 0.0;
    for (int32_t k = 0; k < router.top_k; ++k) {
      total += std::exp(
          (static_cast<double>(scores[order[static_cast<size_t>(k)]]) - scores[order[0]]) * shrink);
    }
    for (int32_t k = 0; k < router.top_k; ++k) {
      const int32_t expert = order[static_cast<size_t>(k)];
      const double p =
          std::exp((static_cast<double>(scores[expert]) - scores[order[0]]) * shrink) / total;
      experts[k] = expert;
      weights[k] = static_cast<float>(p * router.per_expert_scale.data[expert]);
    }
  }

  void expert_mlp_part(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                       Matrix out) {
    // Sort the assignments (row, k) by expert, so that each expert's rows are adjacent.
    const int64_t assignments = x.rows * routing.top_k;
    expert_begin_.assign(experts.size() + 1, 0);
    for (int64_t i = 0; i < assignments; ++i) {
      ++expert_begin_[static_cast<size_t>(routing.experts[i]) + 1];
    }
    std::partial_sum(expert_begin_.begin(), expert_begin_.end(), expert_begin_.begin());
    place_.resize(static_cast<size_t>(assignments));
    std::vector<int64_t> next(expert_begin_.begin(), expert_begin_.end() - 1);
    for (int64_t i = 0; i < assignments; ++i) {
      place_[static_cast<size_t>(i)] = next[static_cast<size_t>(routing.experts[i])]++;
    }
    const int64_t width = experts[0].gate.rows;
    const Matrix gathered = scratch(expert_rows_, assignments, x.cols);
    const Matrix gate = scratch(gate_, assignments, width);
    const Matrix up = scratch(up_, assignments, width);
    for_rows(x.rows, x.cols * routing.top_k, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin * routing.top_k; i < end * routing.top_k; ++i) {
        std::memcpy(gathered.row(place_[static_cast<size_t>(i)]), x.row(i / routing.top_k),
                    static_cast<size_t>(x.cols) * sizeof(float));
      }
    });
    const auto rows_of = [&](Matrix all, size_t expert) {
      const int64_t begin = expert_begin_[expert];
      return Matrix{all.row(begin), Dtype::kF32, expert_begin_[expert + 1] - begin, all.cols};
    };
    jobs_.clear();
    for (size_t e = 0; e < experts.size(); ++e) {
      if (expert_begin_[e] == expert_begin_[e + 1]) continue;
      jobs_.push_back(job(rows_of(gathered, e), experts[e].gate, rows_of(gate, e)));
      jobs_.push_back(job(rows_of(gathered, e), experts[e].up, rows_of(up, e)));
    }
    products_.run(jobs_);
    gelu_multiply(gate, up);
    jobs_.clear();
    const Matrix results = gathered;  // the inputs are not needed any more
    for (size_t e = 0; e < experts.size(); ++e) {
      if (expert_begin_[e] == expert_begin_[e + 1]) continue;
      jobs_.push_back(job(rows_of(gate, e), experts[e].down, rows_of(results, e)));
    }
    products_.run(jobs_);
    for_rows(x.rows, x.cols * routing.top_k, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        std::fill(out.row(r), out.row(r) + out.cols, 0.0f);
        for (int64_t i = r * routing.top_k; i < (r + 1) * routing.top_k; ++i) {
          kernels_.rows.axpy(routing.weights[i], results.row(place_[static_cast<size_t>(i)]),
                             out.cols, out.row(r));
        }
      }
    });
  }

  KernelTable kernels_;
  Products products_;
  StepAttention attention_;
  TowerOps towers_;
  CanvasOps canvas_;
  std::vector<Sampler> samplers_;
  std::vector<ProductJob> jobs_;
  cpu::Scratch gate_;
  cpu::Scratch up_;
  cpu::Scratch expert_rows_;
  std::vector<int64_t> expert_begin_;  // [experts + 1] first assignment of each expert
  std::vector<int64_t> place_;         // [assignments] where (row, k) is among the sorted ones
};

}  // namespace
}  // namespace cpu

std::unique_ptr<Ops> make_cpu_ops(const CpuOptions& options) {
  return std::make_unique<cpu::CpuOps>(options);
}

}  // namespace gemma4
