#include "lib/model/text_decoder.h"

#include <algorithm>
#include <cmath>

#include "lib/base/error.h"

namespace gemma4 {

// inv_freq in float32 steps, as the official implementation takes them (spec 2.7).
RopeTable make_rope_table(Ops& ops, const RopeConfig& rope, int32_t head_dim) {
  const int32_t pairs = head_dim / 2;
  const int32_t rotated =
      rope.proportional ? static_cast<int32_t>(rope.partial_rotary_factor * head_dim / 2) : pairs;
  std::vector<float> frequency(static_cast<size_t>(pairs), 0.0f);
  for (int32_t j = 0; j < rotated; ++j) {
    // The exponent is over the whole head, however few of its pairs rotate.
    const float exponent = static_cast<float>(2 * j) / static_cast<float>(head_dim);
    const float inverse = 1.0f / std::pow(static_cast<float>(rope.theta), exponent);
    frequency[static_cast<size_t>(j)] = inverse / static_cast<float>(rope.factor);
  }
  return {ops.upload({frequency.data(), Dtype::kF32, {pairs}})};
}

namespace {

struct Widths {
  int64_t q = 0, kv = 0, inputs = 0;
};

Widths widest(const TextConfig& config) {
  Widths w;
  for (const LayerConfig& layer : config.layers) {
    w.q = std::max(w.q, int64_t{config.num_heads} * layer.head_dim);
    w.kv = std::max(w.kv, int64_t{layer.num_kv_heads} * layer.head_dim);
  }
  w.inputs = int64_t{config.per_layer_width} * config.num_layers();
  return w;
}

Matrix rows_of(Matrix m, int64_t first, int64_t count) {
  const int64_t row_bytes = m.cols * dtype_bits(m.dtype) / 8;
  return {static_cast<std::byte*>(m.data) + first * row_bytes, m.dtype, count, m.cols};
}

}  // namespace

TextDecoder::TextDecoder(Ops& ops, const TextConfig& config, TextWeights weights, int64_t max_rows)
    : ops_(ops),
      config_(config),
      weights_(std::move(weights)),
      max_rows_(max_rows),
      last_kv_layer_(config.last_kv_layer()) {
  for (const LayerConfig& layer : config.layers) {
    RopeTable& table = rope_[static_cast<size_t>(layer.kind)];
    if (table.inverse_frequency.empty()) {
      table = make_rope_table(ops, config.rope[static_cast<size_t>(layer.kind)], layer.head_dim);
    } else if (table.inverse_frequency.size * 2 != layer.head_dim) {
      throw Error(ErrorKind::kModel, "layers of one kind differ in head_dim", "config.json");
    }
  }
  const Widths w = widest(config);
  const int64_t hidden = config.hidden_size;
  for (Matrix* m : {&x_, &normed_, &branch_, &tail_x_, &tail_normed_})
    *m = matrix(max_rows, hidden);
  q_ = matrix(max_rows, w.q);
  heads_ = matrix(max_rows, w.q);
  k_ = matrix(max_rows, w.kv);
  v_ = matrix(max_rows, w.kv);
  if (w.inputs > 0) {
    inputs_ = matrix(max_rows, w.inputs);
    tail_inputs_ = matrix(max_rows, w.inputs);
  }
  if (config.num_experts > 0) {
    experts_ = matrix(max_rows, hidden);
    const auto choices = static_cast<size_t>(max_rows * config.experts_per_token);
    buffers_.push_back(ops.allocate(choices * sizeof(int32_t)));
    routing_.experts = static_cast<int32_t*>(buffers_.back()->data());
    buffers_.push_back(ops.allocate(choices * sizeof(float)));
    routing_.weights = static_cast<float*>(buffers_.back()->data());
    routing_.top_k = config.experts_per_token;
  }
}

size_t TextDecoder::scratch_bytes(const TextConfig& config, int64_t max_rows) {
  const Widths w = widest(config);
  const int64_t cols = (config.num_experts > 0 ? 6 : 5) * int64_t{config.hidden_size} + 2 * w.q +
                       2 * w.kv + 2 * w.inputs;
  return static_cast<size_t>(cols * max_rows) * sizeof(float);
}

Matrix TextDecoder::matrix(int64_t rows, int64_t cols) {
  const Dtype dtype = ops_.activation_dtype();
  buffers_.push_back(ops_.allocate(static_cast<size_t>(rows * cols * dtype_bits(dtype) / 8)));
  return {buffers_.back()->data(), dtype, rows, cols};
}

Matrix TextDecoder::forward(Step& step, std::span<const int32_t> wanted,
                            std::span<const KvLayer> kv, std::span<const CanvasRows> canvases) {
  Step tail;
  ops_.begin_step(step);
  Stream s = start(step, wanted, tail, canvases);
  for (int32_t l = 0; l < config_.num_layers(); ++l) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(l)];
    const KvLayer& keys_values = kv[static_cast<size_t>(w.config.kv_layer)];
    const bool narrows = l == last_kv_layer_ && s.x.rows > static_cast<int64_t>(wanted.size());
    project(w, s, !narrows, w.config.owns_kv);
    if (w.config.owns_kv) store_kv(w, s, keys_values);
    if (narrows) {
      if (wanted.empty()) break;
      s = narrow(s, tail, wanted);
      project(w, s, true, false);
    }
    attend(w, s, keys_values, l);
    feed_forward(w, s, l);
    finish_layer(w, s, l);
  }
  if (tail.rows() > 0) ops_.end_step(tail);
  ops_.end_step(step);
  return s.normed.first(static_cast<int64_t>(wanted.size()));
}

TextDecoder::Stream TextDecoder::start(Step& step, std::span<const int32_t> wanted, Step& tail,
                                       std::span<const CanvasRows> canvases) {
  const int64_t rows = step.rows();
  const int32_t width = config_.per_layer_width;
  const bool narrows = static_cast<int64_t>(wanted.size()) < rows;
  // Rows that nobody wants need the per-layer inputs of the lower layers only.
  const int32_t input_layers = narrows ? last_kv_layer_ + 1 : config_.num_layers();
  Stream s{&step, x_.first(rows), normed_.first(rows), {}, 0, canvases};
  ops_.embed(step, weights_.embed_tokens, config_.embedding_scale, s.x);
  show("embed", -1, s.x);
  condition(s);
  if (narrows && !wanted.empty()) {
    tail = step.select({wanted.begin(), wanted.end()});
    ops_.begin_step(tail);
  }
  if (width > 0) {
    s.inputs = inputs_.first(rows);
    s.inputs.cols = int64_t{width} * input_layers;
    ops_.per_layer_embed(step, s.x, weights_.embed_tokens_per_layer, config_.per_layer_scale,
                         weights_.per_layer_model_projection, weights_.per_layer_projection_norm,
                         config_.rms_norm_eps, 0, input_layers, s.inputs);
    show("per_layer_inputs", -1, s.inputs);
  }
  if (width > 0 && tail.rows() > 0) {  // the embeddings are gone when the stream narrows
    const Matrix embedded = tail_x_.first(tail.rows());
    Matrix inputs = tail_inputs_.first(tail.rows());
    inputs.cols = int64_t{width} * (config_.num_layers() - last_kv_layer_);
    ops_.gather_rows(s.x, wanted, embedded);
    ops_.per_layer_embed(tail, embedded, weights_.embed_tokens_per_layer, config_.per_layer_scale,
                         weights_.per_layer_model_projection, weights_.per_layer_projection_norm,
                         config_.rms_norm_eps, last_kv_layer_,
                         config_.num_layers() - last_kv_layer_, inputs);
  }
  ops_.rms_norm(s.x, weights_.layers[0].input_layernorm, config_.rms_norm_eps, s.normed);
  return s;
}

// The input of canvas rows (spec mtp-diffusion.md, B5): x = rms_norm(x + f), f the
// self-conditioning of the last step's mixture. Of a mixture of zeros f is zero; the norm has no
// weight.
void TextDecoder::condition(const Stream& s) {
  const float eps = config_.rms_norm_eps;
  for (const CanvasRows& canvas : s.canvases) {
    const Matrix x = rows_of(s.x, canvas.first, canvas.count);
    const Matrix normed = normed_.first(canvas.count);
    const Matrix branch = branch_.first(canvas.count);
    ops_.rms_norm(canvas.mixture, weights_.canvas.pre_norm, eps, normed);
    ops_.gated_mlp(normed, weights_.canvas.mlp, branch);
    ops_.add_residual(x, branch, {}, eps, normed);
    ops_.rms_norm(x, {}, eps, x);
    show("inputs", -1, x);
  }
}

TextDecoder::Stream TextDecoder::narrow(const Stream& stream, Step& tail,
                                        std::span<const int32_t> wanted) {
  const int64_t rows = tail.rows();
  Stream s{&tail, tail_x_.first(rows), tail_normed_.first(rows), {}, last_kv_layer_, {}};
  if (!stream.canvases.empty()) {
    tail_canvas_ = {0, rows, {}};
    s.canvases = {&tail_canvas_, 1};
  }
  ops_.gather_rows(stream.x, wanted, s.x);
  ops_.gather_rows(stream.normed, wanted, s.normed);
  if (config_.per_layer_width > 0) {
    s.inputs = tail_inputs_.first(rows);
    s.inputs.cols = int64_t{config_.per_layer_width} * (config_.num_layers() - last_kv_layer_);
  }
  return s;
}

void TextDecoder::project(const LayerWeights& w, const Stream& s, bool queries, bool keys) {
  const int64_t rows = s.x.rows;
  LinearTarget targets[3];
  size_t count = 0;
  const auto add = [&](const Weight& weight, Matrix& scratch) {
    targets[count++] = {&weight, {scratch.data, scratch.dtype, rows, weight.rows}};
  };
  if (queries) add(w.q_proj, q_);
  if (keys) add(w.k_proj, k_);
  if (keys && !w.config.k_eq_v) add(w.v_proj, v_);
  if (count > 0) ops_.linear(s.normed, {targets, count});
}

void TextDecoder::store_kv(const LayerWeights& w, const Stream& s, const KvLayer& kv) {
  const LayerConfig& layer = w.config;
  const int64_t rows = s.x.rows;
  const int64_t cols = int64_t{layer.num_kv_heads} * layer.head_dim;
  const Matrix k{k_.data, k_.dtype, rows, cols};
  const Matrix v{v_.data, v_.dtype, rows, cols};
  // The value norm has no weight. Where values are the raw key projection, it also copies them.
  if (layer.k_eq_v) {
    const int64_t heads = rows * layer.num_kv_heads;
    ops_.rms_norm({k.data, k.dtype, heads, layer.head_dim}, {}, config_.rms_norm_eps,
                  {v.data, v.dtype, heads, layer.head_dim});
  } else {
    ops_.head_norm_rope(*s.step, v, layer.head_dim, {}, config_.rms_norm_eps, nullptr);
  }
  ops_.head_norm_rope(*s.step, k, layer.head_dim, w.k_norm, config_.rms_norm_eps,
                      &rope_[static_cast<size_t>(layer.kind)]);
  ops_.append_kv(*s.step, k, v, kv);
}

void TextDecoder::attend(const LayerWeights& w, const Stream& s, const KvLayer& kv,
                         int32_t layer_index) {
  const LayerConfig& layer = w.config;
  const int64_t rows = s.x.rows;
  const int64_t cols = int64_t{config_.num_heads} * layer.head_dim;
  const Matrix q{q_.data, q_.dtype, rows, cols};
  const Matrix heads{heads_.data, heads_.dtype, rows, cols};
  const Matrix branch = branch_.first(rows);
  ops_.head_norm_rope(*s.step, q, layer.head_dim, w.q_norm, config_.rms_norm_eps,
                      &rope_[static_cast<size_t>(layer.kind)]);
  ops_.attention(*s.step, q, kv, heads);
  const LinearTarget out{&w.o_proj, branch};
  ops_.linear(heads, {&out, 1});
  show("attn_out", layer_index, branch);
  ops_.close_block(s.x, branch, w.post_attention_layernorm, config_.rms_norm_eps, 1.0f,
                   w.pre_feedforward_layernorm, s.normed);
}

void TextDecoder::feed_forward(const LayerWeights& w, const Stream& s, int32_t layer) {
  const Matrix branch = branch_.first(s.x.rows);
  ops_.gated_mlp(s.normed, w.mlp, branch);
  show("mlp_out", layer, branch);
  if (w.experts.empty()) return;
  // The experts read the residual stream itself, under a norm of their own, and so does the router.
  const Matrix experts = experts_.first(s.x.rows);
  routing_.rows = s.x.rows;
  ops_.route_experts(s.x, w.router, config_.rms_norm_eps, routing_);
  ops_.rms_norm(s.x, w.pre_feedforward_layernorm_2, config_.rms_norm_eps, s.normed);
  show("topk_weights", layer, {routing_.weights, Dtype::kF32, s.x.rows, routing_.top_k});
  ops_.expert_mlp(s.normed, w.experts, routing_, experts);
  show("experts_out", layer, experts);
  ops_.rms_norm(branch, w.post_feedforward_layernorm_1, config_.rms_norm_eps, branch);
  ops_.close_block(branch, experts, w.post_feedforward_layernorm_2, config_.rms_norm_eps, 1.0f, {},
                   {});
}

void TextDecoder::finish_layer(const LayerWeights& w, const Stream& s, int32_t layer) {
  if (config_.per_layer_width == 0) {
    close_layer(w, s, layer, w.post_feedforward_layernorm);
  } else {
    const Matrix branch = branch_.first(s.x.rows);
    // The per-layer gate reads the stream un-normalised.
    ops_.close_block(s.x, branch, w.post_feedforward_layernorm, config_.rms_norm_eps, 1.0f, {}, {});
    ops_.per_layer_inject(s.x, w.per_layer_input_gate, w.per_layer_projection, s.inputs,
                          layer - s.first_input, branch);
    show("ple_out", layer, branch);
    close_layer(w, s, layer, w.post_per_layer_input_norm);
  }
  show("out", layer, s.x);
}

// The layer's last residual, with the scalar of each row's mode.
void TextDecoder::close_layer(const LayerWeights& w, const Stream& s, int32_t layer,
                              const Vector& post_norm) {
  const Vector& next = layer + 1 < config_.num_layers()
                           ? weights_.layers[static_cast<size_t>(layer) + 1].input_layernorm
                           : weights_.norm;
  int64_t done = 0;
  const auto close = [&](int64_t end, float scalar) {
    if (end > done) {
      ops_.close_block(rows_of(s.x, done, end - done), rows_of(branch_, done, end - done),
                       post_norm, config_.rms_norm_eps, scalar, next,
                       rows_of(s.normed, done, end - done));
    }
    done = end;
  };
  for (const CanvasRows& canvas : s.canvases) {
    close(canvas.first, w.layer_scalar);
    close(canvas.first + canvas.count, weights_.canvas.layer_scalars[static_cast<size_t>(layer)]);
  }
  close(s.x.rows, w.layer_scalar);
}

void TextDecoder::logits(Matrix hidden, Matrix out) {
  ops_.logits(hidden, weights_.head(), config_.final_logit_softcapping, out);
}

}  // namespace gemma4
