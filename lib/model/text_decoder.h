// The Gemma 4 text decoder: one forward pass for every variant and every kind of step.
//
// Source of the order of operations: spec text-decoder.md, 2.0 (huggingface/transformers
// models/gemma4/modeling_gemma4.py).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/config.h"
#include "lib/model/text_weights.h"

namespace gemma4 {

/// The rotation of layers of head size `head_dim`.
RopeTable make_rope_table(Ops& ops, const RopeConfig& rope, int32_t head_dim);

/// Rows [first, first + count) of a step that hold a canvas.
struct CanvasRows {
  int64_t first = 0;
  int64_t count = 0;
  /// [count, hidden_size] what the last denoising step made of these places, as embed_mixture gave
  /// it; zeros before the first step.
  Matrix mixture;
};

class TextDecoder {
 public:
  /// Memory for activations is taken here, for steps of up to `max_rows` rows.
  /// `ops` and `config` must outlive the decoder.
  TextDecoder(Ops& ops, const TextConfig& config, TextWeights weights, int64_t max_rows);

  /// Runs a step of 1 to max_rows rows: stores the rows' keys and values in `kv` (one entry a
  /// layer; those of layers without their own are not read), and returns the final hidden states,
  /// after the last norm, of the rows `wanted` (ascending), [wanted, hidden_size]; valid until the
  /// next call. Rows that nobody wants take no part above the last layer that owns keys and values
  /// (spec 5.3). The rows of `canvases` (ascending) are denoised, all others encoded; where there
  /// are any, `wanted` is all of them and nothing else. The keys and values of a canvas are stored
  /// like all others, for this step alone: those of the next step or block take their place.
  Matrix forward(Step& step, std::span<const int32_t> wanted, std::span<const KvLayer> kv,
                 std::span<const CanvasRows> canvases = {});

  /// Logits of hidden states as `forward` gave them; out is [hidden.rows, vocab_size], float32.
  void logits(Matrix hidden, Matrix out);

  const TextConfig& config() const { return config_; }
  const TextWeights& weights() const { return weights_; }
  int64_t max_rows() const { return max_rows_; }
  /// Bytes of activation memory that a decoder for `max_rows` rows takes.
  static size_t scratch_bytes(const TextConfig& config, int64_t max_rows);

  /// Shows inner tensors as they are computed: "embed", "inputs" (of a canvas), "attn_out",
  /// "mlp_out", "topk_weights", "experts_out", "ple_out" (before its norm), "out"; for tests.
  using Probe = std::function<void(std::string_view what, int32_t layer, Matrix value)>;
  void set_probe(Probe probe) { probe_ = std::move(probe); }

 private:
  // The rows that are still under way, and where their activations lie.
  struct Stream {
    Step* step;
    Matrix x;       // residual stream
    Matrix normed;  // x after the norm that the next block reads
    Matrix inputs;  // per-layer inputs, from layer `first_input` on
    int32_t first_input;
    std::span<const CanvasRows> canvases;
  };

  Matrix matrix(int64_t rows, int64_t cols);
  Stream start(Step& step, std::span<const int32_t> wanted, Step& tail,
               std::span<const CanvasRows> canvases);
  void condition(const Stream& s);
  Stream narrow(const Stream& stream, Step& tail, std::span<const int32_t> wanted);
  void project(const LayerWeights& w, const Stream& s, bool queries, bool keys);
  void store_kv(const LayerWeights& w, const Stream& s, const KvLayer& kv);
  void attend(const LayerWeights& w, const Stream& s, const KvLayer& kv, int32_t layer_index);
  void feed_forward(const LayerWeights& w, const Stream& s, int32_t layer);
  void finish_layer(const LayerWeights& w, const Stream& s, int32_t layer);
  void close_layer(const LayerWeights& w, const Stream& s, int32_t layer, const Vector& post_norm);
  void show(std::string_view what, int32_t layer, Matrix value) const {
    if (probe_) probe_(what, layer, value);
  }

  Ops& ops_;
  const TextConfig& config_;
  TextWeights weights_;
  int64_t max_rows_;
  int32_t last_kv_layer_;
  RopeTable rope_[kLayerKinds];
  std::vector<std::unique_ptr<Buffer>> buffers_;
  Matrix x_, normed_, branch_, experts_, q_, k_, v_, heads_, inputs_;
  Matrix tail_x_, tail_normed_, tail_inputs_;
  Routing routing_;
  CanvasRows tail_canvas_;  // when the stream has narrowed to canvas rows: all of them
  Probe probe_;
};

}  // namespace gemma4
