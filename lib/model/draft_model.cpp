#include "lib/model/draft_model.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "lib/base/scalar_types.h"

namespace gemma4 {
namespace {

constexpr int64_t kLogitRows = 16;  // of the dense head at a time: a megabyte a row

int64_t widest_query(const TextConfig& config) {
  int64_t widest = 0;
  for (const LayerConfig& layer : config.layers) {
    widest = std::max(widest, int64_t{config.num_heads} * layer.head_dim);
  }
  return widest;
}

}  // namespace

DraftModel::DraftModel(Ops& ops, const DraftConfig& config, DraftWeights weights,
                       const TextDecoder& target, int64_t max_rows)
    : ops_(ops),
      config_(config),
      weights_(std::move(weights)),
      target_(target),
      max_rows_(max_rows) {
  for (const LayerConfig& layer : config.text.layers) {
    const auto kind = static_cast<size_t>(layer.kind);
    if (rope_[kind].inverse_frequency.empty()) {
      rope_[kind] = make_rope_table(ops, config.text.rope[kind], layer.head_dim);
    }
  }
  const Dtype dtype = ops.activation_dtype();
  const int64_t hidden = config.text.hidden_size;
  for (Matrix* m : {&halves_, &inputs_}) {
    *m = matrix(2 * max_rows, config.backbone_hidden_size, dtype);
  }
  for (Matrix* m : {&x_, &normed_, &branch_}) *m = matrix(max_rows, hidden, dtype);
  for (Matrix* m : {&q_, &heads_}) *m = matrix(max_rows, widest_query(config.text), dtype);
  if (config.num_centroids > 0) {
    const int64_t size = config.text.vocab_size / config.num_centroids;
    centroids_ = matrix(max_rows, config.num_centroids, dtype);
    logits_ = matrix(1, size * config.centroid_top_k, dtype);
  } else {
    logits_ = matrix(std::min(max_rows, kLogitRows), config.text.vocab_size, Dtype::kF32);
  }
}

size_t DraftModel::scratch_bytes(const DraftConfig& config, int64_t max_rows) {
  const int64_t row = 4 * int64_t{config.backbone_hidden_size} + 3 * config.text.hidden_size +
                      2 * widest_query(config.text) + config.num_centroids;
  const int64_t logits =
      config.num_centroids > 0 ? 0 : std::min(max_rows, kLogitRows) * config.text.vocab_size;
  return static_cast<size_t>(row * max_rows + logits) * sizeof(float);
}

Matrix DraftModel::matrix(int64_t rows, int64_t cols, Dtype dtype) {
  buffers_.push_back(ops_.allocate(static_cast<size_t>(rows * cols * dtype_bits(dtype) / 8)));
  return {buffers_.back()->data(), dtype, rows, cols};
}

std::vector<std::vector<int32_t>> DraftModel::draft(Step& step, Matrix hidden,
                                                    std::span<const int32_t> hidden_rows,
                                                    std::span<const KvLayer> kv, int64_t count) {
  const int64_t rows = step.rows();
  const int64_t backbone = config_.backbone_hidden_size;
  const size_t half =
      static_cast<size_t>(rows * backbone) * static_cast<size_t>(dtype_bits(halves_.dtype) / 8);
  const Matrix embedded = halves_.first(rows);
  const Matrix state{static_cast<std::byte*>(halves_.data) + half, halves_.dtype, rows, backbone};
  std::vector<int32_t> in_turn;
  for (int32_t r = 0; r < rows; ++r) {
    in_turn.push_back(r);
    in_turn.push_back(r + static_cast<int32_t>(rows));
  }
  ops_.gather_rows(hidden, hidden_rows, state);
  std::vector<std::vector<int32_t>> drafts;
  for (int64_t i = 0; i < count; ++i) {
    ops_.begin_step(step);
    ops_.embed(step, target_.weights().embed_tokens, target_.config().embedding_scale, embedded);
    ops_.gather_rows(halves_.first(2 * rows), in_turn, inputs_.first(2 * rows));
    forward(step, kv);
    const LinearTarget feedback{&weights_.post_projection, state};
    ops_.linear(normed_.first(rows), {&feedback, 1});
    show("projected_hidden", -1, state);
    ops_.end_step(step);
    drafts.emplace_back(static_cast<size_t>(rows));
    if (config_.num_centroids > 0) {
      choose_by_centroids(rows, drafts.back().data());
    } else {
      choose(rows, drafts.back().data());
    }
    step.tokens = drafts.back();
  }
  return drafts;
}

void DraftModel::forward(const Step& step, std::span<const KvLayer> kv) {
  const int64_t rows = step.rows();
  const float eps = config_.text.rms_norm_eps;
  const Matrix x = x_.first(rows);
  const Matrix normed = normed_.first(rows);
  const Matrix branch = branch_.first(rows);
  const Matrix inputs{inputs_.data, inputs_.dtype, rows, 2 * inputs_.cols};
  show("inputs_embeds", -1, inputs);
  const LinearTarget entry{&weights_.pre_projection, x};
  ops_.linear(inputs, {&entry, 1});
  ops_.rms_norm(x, weights_.layers[0].input_layernorm, eps, normed);
  for (int32_t l = 0; l < config_.text.num_layers(); ++l) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(l)];
    attend(w, step, kv[static_cast<size_t>(w.config.kv_layer)]);
    ops_.close_block(x, branch, w.post_attention_layernorm, eps, 1.0f, w.pre_feedforward_layernorm,
                     normed);
    ops_.gated_mlp(normed, w.mlp, branch);
    const Vector& next = l + 1 < config_.text.num_layers()
                             ? weights_.layers[static_cast<size_t>(l) + 1].input_layernorm
                             : weights_.norm;
    ops_.close_block(x, branch, w.post_feedforward_layernorm, eps, w.layer_scalar, next, normed);
    show("out", l, x);
  }
  show("final_norm", -1, normed);
}

void DraftModel::attend(const LayerWeights& w, const Step& step, const KvLayer& kv) {
  const int64_t rows = step.rows();
  const int64_t cols = w.q_proj.rows;
  const Matrix q{q_.data, q_.dtype, rows, cols};
  const Matrix heads{heads_.data, heads_.dtype, rows, cols};
  const LinearTarget in{&w.q_proj, q};
  ops_.linear(normed_.first(rows), {&in, 1});
  ops_.head_norm_rope(step, q, w.config.head_dim, w.q_norm, config_.text.rms_norm_eps,
                      &rope_[static_cast<size_t>(w.config.kind)]);
  ops_.attention(step, q, kv, heads);
  const LinearTarget out{&w.o_proj, branch_.first(rows)};
  ops_.linear(heads, {&out, 1});
}

void DraftModel::choose(int64_t rows, int32_t* tokens) {
  SampleRow greedy;
  greedy.params.temperature = 0.0f;
  for (int64_t first = 0; first < rows; first += logits_.rows) {
    const int64_t count = std::min(rows - first, logits_.rows);
    const size_t width = static_cast<size_t>(normed_.cols * dtype_bits(normed_.dtype) / 8);
    const Matrix part{static_cast<std::byte*>(normed_.data) + static_cast<size_t>(first) * width,
                      normed_.dtype, count, normed_.cols};
    ops_.logits(part, weights_.embed_tokens, config_.text.final_logit_softcapping,
                logits_.first(count));
    show("logits", -1, logits_.first(count));
    const std::vector<SampleRow> how(static_cast<size_t>(count), greedy);
    ops_.sample(logits_.first(count), how, tokens + first);
  }
}

// Only the tokens of the clusters whose centroids lie nearest get logits (A8.2).
void DraftModel::choose_by_centroids(int64_t rows, int32_t* tokens) {
  const Matrix scores = centroids_.first(rows);
  const LinearTarget all{&weights_.centroids, scores};
  ops_.linear(normed_.first(rows), {&all, 1});
  show("centroid_logits", -1, scores);
  const std::vector<float> score = to_host(scores);
  const int64_t size = config_.text.vocab_size / config_.num_centroids;
  const size_t value_bytes = static_cast<size_t>(dtype_bits(normed_.dtype) / 8);
  std::vector<int32_t> order(static_cast<size_t>(config_.num_centroids));
  for (int64_t r = 0; r < rows; ++r) {
    const float* of_row = score.data() + r * config_.num_centroids;
    std::iota(order.begin(), order.end(), 0);
    const auto end = order.begin() + config_.centroid_top_k;
    std::partial_sort(order.begin(), end, order.end(), [&](int32_t a, int32_t b) {
      return of_row[a] != of_row[b] ? of_row[a] > of_row[b] : a < b;
    });
    chosen_.assign(order.begin(), end);
    std::sort(chosen_.begin(), chosen_.end());
    const Matrix y{
        static_cast<std::byte*>(normed_.data) + static_cast<size_t>(r * normed_.cols) * value_bytes,
        normed_.dtype, 1, normed_.cols};
    std::vector<LinearTarget> targets;
    for (size_t i = 0; i < chosen_.size(); ++i) {
      auto* to =
          static_cast<std::byte*>(logits_.data) + i * static_cast<size_t>(size) * value_bytes;
      targets.push_back(
          {&weights_.clusters[static_cast<size_t>(chosen_[i])], {to, logits_.dtype, 1, size}});
    }
    ops_.linear(y, targets);
    show("logits", -1, logits_);
    const std::vector<float> values = to_host(logits_);
    const auto best = std::max_element(values.begin(), values.end()) - values.begin();
    const int64_t cluster = chosen_[static_cast<size_t>(best / size)];
    tokens[r] = weights_.token_ordering[static_cast<size_t>(cluster * size + best % size)];
  }
}

std::vector<float> DraftModel::to_host(Matrix values) {
  const auto count = static_cast<size_t>(values.rows * values.cols);
  std::vector<float> out(count);
  if (values.dtype == Dtype::kF32) {
    ops_.copy_to_host(out.data(), values.data, count * sizeof(float));
  } else {
    std::vector<Bf16> narrow(count);
    ops_.copy_to_host(narrow.data(), values.data, count * sizeof(Bf16));
    for (size_t i = 0; i < count; ++i) out[i] = to_float(narrow[i]);
  }
  return out;
}

}  // namespace gemma4
