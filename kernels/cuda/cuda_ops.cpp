#include "kernels/cuda/cuda_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/canvas_kernels.h"
#include "kernels/cuda/expert_kernels.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/row_kernels.h"
#include "kernels/cuda/sampling_kernels.h"
#include "kernels/cuda/step_slots.h"
#include "kernels/cuda/tower_kernels.h"
#include "lib/base/error.h"
#include "lib/base/scalar_types.h"

namespace gemma4 {
namespace cuda {
namespace {

constexpr int kOldestCapability = 80;

/// Appends the values at a multiple of 16 bytes, and says where.
template <typename T>
size_t add_values(std::vector<std::byte>& bytes, const std::vector<T>& values) {
  const size_t at = (bytes.size() + 15) / 16 * 16;
  bytes.resize(at + values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data() + at, values.data(), values.size() * sizeof(T));
  return at;
}

/// What buffers need to outlive the backend's own members.
struct Core {
  explicit Core(int index) : device(index), queue(device) {}
  Device device;
  LaunchQueue queue;
};

class DeviceBuffer : public Buffer {
 public:
  DeviceBuffer(std::shared_ptr<Core> core, size_t bytes) : core_(std::move(core)), memory_(bytes) {}
  ~DeviceBuffer() override {
    try {
      core_->queue.flush();  // collected kernels may use it; freeing waits for those that run
    } catch (const Error&) {
      // The next operation finds the same failure and reports it.
    }
  }
  void* data() override { return memory_.data(); }
  size_t size() const override { return memory_.size(); }

 private:
  std::shared_ptr<Core> core_;
  DeviceMemory memory_;
};

class CudaOps : public Ops {
 public:
  explicit CudaOps(const CudaOptions& options)
      : name_("cuda:" + std::to_string(options.device)),
        core_(std::make_shared<Core>(options.device)),
        queue_(core_->queue),
        exact_(options.exact_activations),
        weights_(queue_, exact_),
        products_(queue_, weights_, exact_),
        steps_(queue_),
        rows_(queue_),
        host_values_(queue_),
        router_input_(queue_),
        router_scores_(queue_),
        clamped_(queue_),
        taps_(queue_),
        sample_inputs_(queue_),
        sample_work_(queue_) {}

  ~CudaOps() override {
    try {
      queue_.synchronize();
    } catch (const Error&) {
      // Whoever waited for a result has been told.
    }
  }

  std::string_view name() const override { return name_; }

  std::unique_ptr<Buffer> allocate(size_t bytes) override {
    return std::make_unique<DeviceBuffer>(core_, bytes);
  }
  void copy_to_host(void* host, const void* device, size_t bytes) override {
    queue_.flush();
    check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, queue_.stream().get()),
          "copying to the host");
    queue_.stream().synchronize();
    weights_.forget_temporaries();
  }
  void copy_from_host(void* device, const void* host, size_t bytes) override {
    queue_.flush();
    check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, queue_.stream().get()),
          "copying to the GPU");
    queue_.stream().synchronize();
  }
  Dtype activation_dtype() const override { return Dtype::kF32; }

  Vector upload(const Tensor& vector) override {
    Weight as_weight;
    as_weight.rows = 1;
    as_weight.cols = vector.elements();
    as_weight.dense = vector;
    form_of(as_weight, exact_);  // refuses what is no float type
    std::vector<uint8_t> values(
        static_cast<size_t>(packed_row_bytes(WeightForm::kF32, as_weight.cols)));
    pack_row(as_weight, WeightForm::kF32, 0, values.data(), nullptr);
    Vector out;
    out.size = as_weight.cols;
    out.buffer = allocate(values.size());
    copy_from_host(out.buffer->data(), values.data(), values.size());
    out.data = static_cast<const float*>(out.buffer->data());
    return out;
  }

  void prepare(Weight& weight) override { weights_.prepare(weight); }
  void begin_step(Step& step) override { steps_.begin(step); }
  void end_step(Step& step) override { steps_.end(step); }

  void embed(const Step& step, const Weight& table, float scale, Matrix out) override {
    lookup_rows(queue_, weights_.find(table), StepSlots::of(step).view().tokens, scale, out);
    const auto count = static_cast<int64_t>(step.soft_rows.size());
    if (count == 0) return;
    std::vector<float> values(static_cast<size_t>(count * out.cols));
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(step.soft_embeddings[static_cast<size_t>(i)], out.cols,
                  values.data() + i * out.cols);
    }
    float* soft = host_values_.floats(count * out.cols);
    copy_from_host(soft, values.data(), values.size() * sizeof(float));
    scatter_rows(queue_, soft, device_ints(step.soft_rows), count, out);
  }

  void rms_norm(Matrix x, const Vector& weight, float eps, Matrix out) override {
    cuda::rms_norm(queue_, x, weight.data, eps, out);
  }

  void linear(Matrix x, std::span<const LinearTarget> targets) override {
    std::vector<ProductJob> jobs;
    for (const LinearTarget& t : targets)
      jobs.push_back({t.weight, 0, t.weight->rows, t.out.f32()});
    products_.run(input(x), jobs);
  }

  void head_norm_rope(const Step& step, Matrix x, int32_t head_dim, const Vector& weight, float eps,
                      const RopeTable* rope) override {
    StepSlot::Rotation rotation;
    if (rope != nullptr) {
      rotation = StepSlots::of(step).rotation(rope->inverse_frequency.data, head_dim / 2);
    }
    head_norm_rotate(queue_, x, head_dim, weight.data, eps, 1, rotation.cosine, rotation.sine);
  }

  void append_kv(const Step& step, Matrix k, Matrix v, const KvLayer& layer) override {
    const StepSlot& slot = StepSlots::of(step);
    cuda::append_kv(queue_, kv_view(layer, slot.arrays(), slot.view(), k.cols), k, v);
  }

  void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out) override {
    const StepSlot& slot = StepSlots::of(step);
    const KvView kv = kv_view(layer, slot.arrays(), slot.view(), q.cols);
    if (!exact_ && flash_attention_fits(kv)) {
      flash_attention(queue_, kv, slot.arrays(), layer.kind, q, out, products_.partial(),
                      Products::kPartialFloats);
    } else {
      plain_attention(queue_, kv, slot.arrays(), q, out);
    }
  }

  void close_block(Matrix x, Matrix branch, const Vector& post_norm, float eps, float scale,
                   const Vector& next_norm, Matrix normed) override {
    cuda::close_block(queue_, x, branch, post_norm.data, eps, scale, next_norm.data, normed);
  }

  void gated_mlp(Matrix x, const MlpWeights& weights, Matrix out) override {
    products_.mlp(Gate::kGeluTimes, weights.gate, &weights.up, weights.down, x, out);
  }

  // The router's products are float32 in both settings: a score that is off chooses another expert.
  void route_experts(Matrix x, const RouterWeights& router, float eps,
                     const Routing& out) override {
    const StoredMatrix& projection = weights_.find(router.projection);
    float* u = router_input_.floats(x.rows * x.cols);
    float* scores = router_scores_.floats(x.rows * projection.rows);
    cuda::rms_norm(queue_, x, router.scale.data, eps, {u, Dtype::kF32, x.rows, x.cols});
    ProductTarget target;
    target.w = projection;
    target.out = scores;
    target.out_stride = projection.rows;
    ProductRows rows;
    rows.x = u;
    rows.stride = x.cols;
    rows.m = static_cast<int32_t>(x.rows);
    rows.k = static_cast<int32_t>(x.cols);
    exact_product(queue_, {&target, 1}, rows);
    const auto shrink = static_cast<float>(1.0 / std::sqrt(static_cast<double>(x.cols)));
    choose_experts(queue_, scores, x.rows, projection.rows, out.top_k, shrink,
                   router.per_expert_scale.data, out.experts, out.weights);
  }

  void expert_mlp(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                  Matrix out) override {
    products_.experts(x, experts, routing, out);
  }

  void per_layer_embed(const Step& step, Matrix x, const Weight& table, float table_scale,
                       const Weight& projection, const Vector& norm, float eps, int32_t first_layer,
                       int32_t layer_count, Matrix out) override {
    const int64_t width = norm.size;
    const ProductJob job{&projection, first_layer * width, layer_count * width, out.f32()};
    products_.run(input(x), {&job, 1});
    // rms_norm(c / sqrt(hidden)) with eps = rms_norm(c) with hidden * eps.
    combine_per_layer(queue_, out, weights_.find(table), StepSlots::of(step).view().table_ids,
                      first_layer * width, table_scale, norm.data, static_cast<int32_t>(width),
                      eps * static_cast<float>(x.cols));
  }

  void per_layer_inject(Matrix x, const Weight& gate, const Weight& projection, Matrix inputs,
                        int32_t layer, Matrix out) override {
    const int64_t width = gate.rows;
    float* gates = router_scores_.floats(x.rows * width);
    const ProductJob first{&gate, 0, width, gates};
    products_.run(input(x), {&first, 1});
    ProductInput gated{router_input_.floats(x.rows * width), nullptr, x.rows, width};
    apply_gate(queue_, Gate::kGeluTimes, gates, inputs.f32() + layer * width, inputs.cols, x.rows,
               width, {const_cast<float*>(gated.wide), nullptr});
    const ProductJob second{&projection, 0, projection.rows, out.f32()};
    products_.run(gated, {&second, 1});
  }

  void gather_rows(Matrix src, std::span<const int32_t> rows, Matrix dst) override {
    cuda::gather_rows(queue_, src, rows, dst);
  }

  void logits(Matrix x, const Weight& head, float softcap, Matrix out) override {
    const ProductJob job{&head, 0, head.rows, out.f32()};
    products_.run(input(x), {&job, 1});
    if (softcap != 0.0f) cap_values(queue_, out.f32(), out.rows * out.cols, softcap);
  }

  void sample(Matrix logits, std::span<const SampleRow> rows, int32_t* tokens) override {
    if (rows.empty()) return;
    const SampleBatch batch = make_sample_batch(rows, logits.cols);
    const auto count = static_cast<int64_t>(rows.size());
    SampleMemory memory;
    std::vector<std::byte> bytes;
    const size_t settings = add_values(bytes, batch.settings);
    const size_t changes = add_values(bytes, batch.changes);
    const size_t masks = add_values(bytes, batch.masks);
    auto* inputs = static_cast<std::byte*>(sample_inputs_.bytes(bytes.size()));
    copy_from_host(inputs, bytes.data(), bytes.size());
    memory.settings = reinterpret_cast<const SampleSettings*>(inputs + settings);
    memory.changes = reinterpret_cast<const LogitChange*>(inputs + changes);
    memory.masks = reinterpret_cast<const uint64_t*>(inputs + masks);
    const int64_t segments = divide_up(logits.cols, kSegment);
    float* work = sample_work_.floats(count * (logits.cols + segments + 2 * kMostCandidates + 1));
    memory.work = work;
    memory.tops = memory.work + count * logits.cols;
    memory.candidates = memory.tops + count * segments;
    memory.candidate_ids = reinterpret_cast<int32_t*>(memory.candidates + count * kMostCandidates);
    memory.tokens = memory.candidate_ids + count * kMostCandidates;
    int32_t most_changes = 0;
    for (const SampleSettings& s : batch.settings) {
      most_changes = std::max(most_changes, s.num_changes);
    }
    sample_rows(queue_, logits.f32(), count, logits.cols, most_changes, memory);
    copy_to_host(tokens, memory.tokens, rows.size() * sizeof(int32_t));
    for (size_t i = 0; i < rows.size(); ++i) {
      if (tokens[i] < 0) throw Error(ErrorKind::kInternal, "no token is allowed here", "sampling");
    }
  }

  void judge_canvas(Matrix logits, std::span<const CanvasRow> rows,
                    CanvasChoice* choices) override {
    if (rows.empty()) return;
    std::vector<CanvasSettings> settings;
    std::vector<int32_t> suppressed;
    for (const CanvasRow& row : rows) {
      CanvasSettings s;
      s.random = row.random;
      s.temperature = row.temperature;
      s.first_suppressed = static_cast<int32_t>(suppressed.size());
      suppressed.insert(suppressed.end(), row.suppressed.begin(), row.suppressed.end());
      s.num_suppressed = static_cast<int32_t>(row.suppressed.size());
      settings.push_back(s);
    }
    std::vector<std::byte> bytes;
    add_values(bytes, settings);
    const size_t ids = add_values(bytes, suppressed);
    auto* inputs = static_cast<std::byte*>(sample_inputs_.bytes(bytes.size()));
    copy_from_host(inputs, bytes.data(), bytes.size());
    auto* on_device = sample_work_.items<CanvasVerdict>(static_cast<int64_t>(rows.size()));
    cuda::judge_canvas(queue_, logits, reinterpret_cast<const CanvasSettings*>(inputs),
                       reinterpret_cast<const int32_t*>(inputs + ids), on_device);
    std::vector<CanvasVerdict> verdicts(rows.size());
    copy_to_host(verdicts.data(), on_device, verdicts.size() * sizeof(CanvasVerdict));
    for (size_t i = 0; i < verdicts.size(); ++i) {
      if (verdicts[i].finite == 0) {
        throw Error(ErrorKind::kInternal, "the logits of a canvas are not finite", "denoising");
      }
      choices[i] = {verdicts[i].best, verdicts[i].candidate, verdicts[i].entropy};
    }
  }

  void embed_mixture(Matrix p, const Weight& table, float scale, Matrix out) override {
    cuda::embed_mixture(queue_, p, weights_.find(table), scale, out, products_.partial(),
                        Products::kPartialFloats);
  }

  void clipped_linear(Matrix x, std::span<const ClippedTarget> targets) override {
    for (const ClippedTarget& target : targets) clipped(x, *target.linear, target.out);
  }

  void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps,
                    Matrix normed) override {
    cuda::add_residual(queue_, x, branch, next_norm.data, eps, normed);
  }

  void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) override {
    const int64_t width = weights.gate.weight.rows;
    const bool gated = !weights.up.weight.empty();
    float* inner = taps_.floats(x.rows * width * 2);
    const Matrix gate{inner, Dtype::kF32, x.rows, width};
    const Matrix up{inner + x.rows * width, Dtype::kF32, x.rows, width};
    clipped(x, weights.gate, gate);
    if (gated) clipped(x, weights.up, up);
    apply_gate(queue_, gated ? Gate::kGeluTimes : Gate::kSilu, gate.f32(),
               gated ? up.f32() : nullptr, width, x.rows, width, {gate.f32(), nullptr});
    clipped(gate, weights.down, out);
  }

  void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps,
                  Matrix out) override {
    cuda::layer_norm(queue_, x, weight.data, bias.data, eps, false, out);
  }

  void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) override {
    cuda::add_table_rows(queue_, x, weights_.find(table), device_ints(rows));
  }

  void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps, Matrix cosine,
                         Matrix sine) override {
    head_norm_rotate(queue_, x, head_dim, weight.data, eps, 2, cosine.f32(), sine.f32());
  }

  void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
            const Vector& factor, Matrix out) override {
    cuda::pool(queue_, x, columns, kernel, scale, bias.data, factor.data, out);
  }

  void subsample(Matrix x, const Subsampling& stage, Matrix out) override {
    const int64_t channels = stage.weight.rows;
    const int64_t frequencies = out.cols / channels;
    const int64_t positions = out.rows * frequencies;
    float* taps = taps_.floats(positions * 9 * stage.channels);
    gather_taps(queue_, x, stage.channels, out.rows, frequencies, taps);
    const Matrix flat{out.data, Dtype::kF32, positions, channels};
    const ProductJob job{&stage.weight, 0, channels, flat.f32()};
    products_.run({taps, nullptr, positions, int64_t{9} * stage.channels}, {&job, 1});
    cuda::layer_norm(queue_, flat, stage.norm.data, nullptr, stage.eps, true, flat);
  }

  void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                          std::span<const RowSpan> clips, Matrix out) override {
    cuda::relative_attention(queue_, q, k, v, attention, clip_begins(clips), out);
  }

  void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips,
                  Matrix out) override {
    cuda::light_conv(queue_, x, conv, clip_begins(clips), out);
  }

 private:
  static ProductInput input(Matrix x) { return {x.f32(), nullptr, x.rows, x.cols}; }

  /// Small arrays that kernels read from device memory.
  const int32_t* device_ints(std::span<const int32_t> values) {
    queue_.flush();  // collected kernels may still read the last ones
    auto* device = rows_.items<int32_t>(static_cast<int64_t>(values.size()));
    copy_from_host(device, values.data(), values.size_bytes());
    return device;
  }

  const int32_t* clip_begins(std::span<const RowSpan> clips) {
    std::vector<int32_t> begins;
    for (const RowSpan clip : clips) {
      begins.resize(static_cast<size_t>(clip.end), static_cast<int32_t>(clip.begin));
    }
    return device_ints(begins);
  }

  void clipped(Matrix x, const ClippedLinear& linear, Matrix out) {
    ProductInput in = input(x);
    if (std::isfinite(linear.input_min) || std::isfinite(linear.input_max)) {
      float* to = clamped_.floats(x.rows * x.cols);
      clamp_values(queue_, x.f32(), x.rows * x.cols, linear.input_min, linear.input_max, to);
      in.wide = to;
    }
    const ProductJob job{&linear.weight, 0, linear.weight.rows, out.f32()};
    products_.run(in, {&job, 1});
    if (std::isfinite(linear.output_min) || std::isfinite(linear.output_max) ||
        !linear.bias.empty()) {
      clamp_and_bias(queue_, out, linear.output_min, linear.output_max, linear.bias.data);
    }
  }

  std::string name_;
  std::shared_ptr<Core> core_;
  LaunchQueue& queue_;
  bool exact_;
  WeightStore weights_;
  Products products_;
  StepSlots steps_;
  Scratch rows_;
  Scratch host_values_;
  Scratch router_input_;
  Scratch router_scores_;
  Scratch clamped_;
  Scratch taps_;
  Scratch sample_inputs_;
  Scratch sample_work_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Ops> make_cuda_ops(const CudaOptions& options) {
  return std::make_unique<cuda::CudaOps>(options);
}

std::vector<CudaDevice> cuda_devices() {
  std::vector<CudaDevice> devices;
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return devices;
  }
  int current = 0;
  cudaGetDevice(&current);
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties;
    size_t free_bytes = 0;
    size_t total = 0;
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess ||
        properties.major * 10 + properties.minor < cuda::kOldestCapability ||
        cudaSetDevice(i) != cudaSuccess || cudaMemGetInfo(&free_bytes, &total) != cudaSuccess) {
      cudaGetLastError();
      continue;
    }
    devices.push_back(
        {i, properties.name, properties.major * 10 + properties.minor, free_bytes, total});
  }
  cudaSetDevice(current);
  return devices;
}

}  // namespace gemma4
