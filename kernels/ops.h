// The contract between the model and the machine: every operation a model needs, once.
//
// The model is written over this interface; kernels/reference (the oracle), kernels/cpu and
// kernels/cuda implement it. Activations are matrices [rows, cols] in the backend's memory and in
// its activation type (float32 on the reference and the CPU backend). Operations are in order:
// one sees the results of those before it. Unless said otherwise an output may not overlap an
// input. Formulas: spec text-decoder.md, section 2 (upstream: huggingface/transformers
// models/gemma4/modeling_gemma4.py). Sums are float32, and so are operands, except where a backend
// says that it rounds what meets coded or bf16 weights (RULINGS 1, 2); exact
// activations forbid that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/canvas.h"
#include "kernels/matrix.h"
#include "kernels/sampling.h"
#include "kernels/step.h"
#include "kernels/tower.h"
#include "kernels/weight.h"

namespace gemma4 {

/// Rotation of head dimension pairs (j, j + head_dim/2) by position * inverse_frequency[j]
/// (spec 2.7). A frequency of 0 leaves its pair as it is.
struct RopeTable {
  Vector inverse_frequency;  // [head_dim / 2]
};

/// Keys and values of one layer that owns them: two arrays
/// [num_blocks, num_kv_heads, block_size, head_dim] addressed through the step's KvPages of `kind`.
/// Quantised ones (lib/quant/kv_format.h): a value is its code times a scale. kI8 has a scale for
/// each token and head, set when it is stored; kF8E4M3 one for all keys and one for all values.
struct KvLayer {
  LayerKind kind = LayerKind::kFull;
  Dtype dtype = Dtype::kBf16;  // kF32, kBf16, kI8 or kF8E4M3
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int32_t block_size = 0;
  void* keys = nullptr;
  void* values = nullptr;
  float* key_scales = nullptr;    // kI8: [num_blocks, num_kv_heads, block_size]
  float* value_scales = nullptr;  // likewise
  float key_scale = 1.0f;         // kF8E4M3
  float value_scale = 1.0f;       // likewise
};

struct LinearTarget {
  const Weight* weight;
  Matrix out;  // [rows, weight->rows]
};

/// The dense MLP: down(gelu(gate x) * (up x)), gelu in its tanh form.
struct MlpWeights {
  Weight gate;  // [intermediate, hidden]
  Weight up;    // [intermediate, hidden]
  Weight down;  // [hidden, intermediate]
};

struct RouterWeights {
  Weight projection;        // [num_experts, hidden]
  Vector scale;             // [hidden]
  Vector per_expert_scale;  // [num_experts]
  int32_t top_k = 0;
};

/// The experts each row goes to: [rows, top_k], in host memory on a CPU, device memory on a GPU.
struct Routing {
  int32_t* experts = nullptr;
  float* weights = nullptr;
  int64_t rows = 0;
  int32_t top_k = 0;
};

class Ops {
 public:
  virtual ~Ops() = default;

  /// "reference", "cpu", "cuda:0".
  virtual std::string_view name() const = 0;

  // --- memory -----------------------------------------------------------------------------------

  /// Uninitialised (on a CPU: zero pages that take no memory until touched), 64-byte aligned.
  /// Throws Error(kResource) when there is not enough.
  virtual std::unique_ptr<Buffer> allocate(size_t bytes) = 0;
  virtual void copy_to_host(void* host, const void* device, size_t bytes) = 0;
  virtual void copy_from_host(void* device, const void* host, size_t bytes) = 0;
  /// Type of activation matrices.
  virtual Dtype activation_dtype() const = 0;
  /// Copies a vector (F32, BF16, F16; host memory, any alignment) widened to float32.
  virtual Vector upload(const Tensor& vector) = 0;

  /// Makes the backend's own layout of a weight. Called once per weight, at load; a weight that
  /// is used in place gets none.
  virtual void prepare(Weight& weight) = 0;

  // --- steps ------------------------------------------------------------------------------------

  /// A step is announced before the first operation that uses it and ended after the last.
  virtual void begin_step(Step& step) = 0;
  virtual void end_step(Step& step) = 0;

  // --- the decoder ------------------------------------------------------------------------------

  /// out[r] = table[token[r]] * scale; a soft row gets its soft embedding, unscaled.
  virtual void embed(const Step& step, const Weight& table, float scale, Matrix out) = 0;

  /// out = x / rms(x) * weight, per row, rms(x) = sqrt(mean(x^2) + eps). An empty weight is 1.
  /// `out` may be `x`.
  virtual void rms_norm(Matrix x, const Vector& weight, float eps, Matrix out) = 0;

  /// out_i = x W_i^T for several weights that share their input.
  virtual void linear(Matrix x, std::span<const LinearTarget> targets) = 0;

  /// Per head: x = rms_norm(x) * weight (empty: 1), then the rotation at the row's position
  /// (null: none). x is [rows, heads * head_dim], in place.
  virtual void head_norm_rope(const Step& step, Matrix x, int32_t head_dim, const Vector& weight,
                              float eps, const RopeTable* rope) = 0;

  /// Stores k and v ([rows, num_kv_heads * head_dim]) at the rows' positions.
  virtual void append_kv(const Step& step, Matrix k, Matrix v, const KvLayer& layer) = 0;

  /// out[r, h] = softmax_t(q[r, h] . K[t, h / group]) V[t], over the keys t that the row may see
  /// on this kind of layer; scores are not scaled. q and out are [rows, num_heads * head_dim].
  virtual void attention(const Step& step, Matrix q, const KvLayer& layer, Matrix out) = 0;

  /// Closes a residual block: x = (x + rms_norm(branch) * post_norm) * scale, in place, and when
  /// `normed` has data: normed = rms_norm(x) * next_norm, which the following block reads.
  virtual void close_block(Matrix x, Matrix branch, const Vector& post_norm, float eps, float scale,
                           const Vector& next_norm, Matrix normed) = 0;

  /// out = down(gelu(gate x) * (up x)).
  virtual void gated_mlp(Matrix x, const MlpWeights& weights, Matrix out) = 0;

  /// Chooses experts (spec 2.11): u = rms_norm(x) * scale / sqrt(hidden); p = softmax(projection
  /// u); the top_k largest (lower index on ties), renormalised to sum 1, times per_expert_scale.
  virtual void route_experts(Matrix x, const RouterWeights& router, float eps,
                             const Routing& out) = 0;

  /// out[r] = sum_k weights[r, k] * mlp_{experts[r, k]}(x[r]).
  virtual void expert_mlp(Matrix x, std::span<const MlpWeights> experts, const Routing& routing,
                          Matrix out) = 0;

  /// Per-layer inputs (spec 2.3) of layers [first_layer, first_layer + layer_count), out
  /// [rows, layer_count * width], from the merged embeddings x:
  /// c = rms_norm(projection x / sqrt(hidden)) * norm per layer; t = table[token] * table_scale;
  /// out = (c + t) / sqrt(2). An id outside the table takes row 0 of it.
  /// `table` is [ids, layers * width], `projection` [layers * width, hidden].
  virtual void per_layer_embed(const Step& step, Matrix x, const Weight& table, float table_scale,
                               const Weight& projection, const Vector& norm, float eps,
                               int32_t first_layer, int32_t layer_count, Matrix out) = 0;

  /// out = projection(gelu(gate x) * p), where p is column block `layer` of per_layer_embed's
  /// output `inputs` (spec 2.12; its post norm and residual are close_block's).
  virtual void per_layer_inject(Matrix x, const Weight& gate, const Weight& projection,
                                Matrix inputs, int32_t layer, Matrix out) = 0;

  /// dst[i] = src[rows[i]].
  virtual void gather_rows(Matrix src, std::span<const int32_t> rows, Matrix dst) = 0;

  /// out = softcap * tanh(head x / softcap); softcap 0: none. `out` is always float32.
  virtual void logits(Matrix x, const Weight& head, float softcap, Matrix out) = 0;

  /// One id a row of logits [rows, vocab], written to host memory. The logits stay as they are.
  virtual void sample(Matrix logits, std::span<const SampleRow> rows, int32_t* tokens) = 0;

  // --- the diffusion canvas (spec mtp-diffusion.md, B5 and B8) -----------------------------------

  /// Judges rows of logits [rows, vocab], in place: they become p = softmax(logits / temperature).
  /// Draws follow the cumulated p in the order of ids. `choices` [rows] is host memory. Throws
  /// Error(kInternal) for logits that are not finite: all-NaN logits would look like a settled
  /// canvas.
  virtual void judge_canvas(Matrix logits, std::span<const CanvasRow> rows,
                            CanvasChoice* choices) = 0;

  /// out[r] = scale * sum_v p[r, v] table[v]; p is float32 [rows, table.rows], each row a
  /// distribution. Probabilities too small to show in a float32 sum may be left out.
  virtual void embed_mixture(Matrix p, const Weight& table, float scale, Matrix out) = 0;

  // --- the vision and audio towers (spec vision-audio-video.md); matrices are float32
  // --------------

  /// out_i = clamp(W_i clamp(x, input bounds_i), output bounds_i) + bias_i.
  virtual void clipped_linear(Matrix x, std::span<const ClippedTarget> targets) = 0;

  /// x += branch, in place; then normed = rms_norm(x) * next_norm.
  virtual void add_residual(Matrix x, Matrix branch, const Vector& next_norm, float eps,
                            Matrix normed) = 0;

  /// See ClippedMlp.
  virtual void clipped_mlp(Matrix x, const ClippedMlp& weights, Matrix out) = 0;

  /// out = (x - mean(x)) / sqrt(variance(x) + eps) * weight + bias, per row; the variance divides
  /// by the number of columns. `out` may be `x`.
  virtual void layer_norm(Matrix x, const Vector& weight, const Vector& bias, float eps,
                          Matrix out) = 0;

  /// x[r] += table[rows[2 r]] + table[rows[2 r + 1]]: the position embeddings of both axes.
  virtual void add_table_rows(Matrix x, const Weight& table, std::span<const int32_t> rows) = 0;

  /// Per head: x = rms_norm(x) * weight, then each half of the head is rotated on its own: pairs
  /// (j, j + head_dim/4) of the first half by the angles of columns [0, head_dim/4) of `cosine` and
  /// `sine` [rows, head_dim/2], those of the second half by the other columns (2.5). x is
  /// [rows, heads * head_dim], in place.
  virtual void head_norm_rope_2d(Matrix x, int32_t head_dim, const Vector& weight, float eps,
                                 Matrix cosine, Matrix sine) = 0;

  /// x is a grid of x.rows / columns rows, row-major; out row (oy, ox) is the mean over a square of
  /// kernel x kernel of them, times `scale`; then (out - bias) * factor unless these are empty
  /// (2.7). Both sides of the grid are multiples of `kernel`.
  virtual void pool(Matrix x, int64_t columns, int32_t kernel, float scale, const Vector& bias,
                    const Vector& factor, Matrix out) = 0;

  /// x is [time, frequencies * stage.channels], channels innermost; out is
  /// [ceil(time / 2), ceil(frequencies / 2) * stage.weight.rows]. See Subsampling.
  virtual void subsample(Matrix x, const Subsampling& stage, Matrix out) = 0;

  /// out[t, h] = sum_j softmax_j(s_j) v[j, h], s_j = cap(q' . (k[j, h] key_scale + relative_keys[t
  /// - j, h])), q' = q[t, h] * query_scale, cap(s) = softcap tanh(s / softcap), over the keys j of
  /// the row's own clip with 0 <= t - j < left_keys. All matrices are [rows, heads * head_dim].
  virtual void relative_attention(Matrix q, Matrix k, Matrix v, const RelativeAttention& attention,
                                  std::span<const RowSpan> clips, Matrix out) = 0;

  /// u = x[:, :channels] * sigmoid(x[:, channels:]); c[t] = sum_j kernel[j] * u[t - taps + 1 + j]
  /// within the row's own clip (zeros before it); out = silu(rms_norm(c) * norm).
  /// x is [rows, 2 * channels], out [rows, channels].
  virtual void light_conv(Matrix x, const LightConv& conv, std::span<const RowSpan> clips,
                          Matrix out) = 0;
};

}  // namespace gemma4
