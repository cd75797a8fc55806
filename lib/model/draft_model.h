// The assistant's forward pass: a few layers that only have queries, over the keys and values and
// the hidden state of the model that it drafts for.
//
// Source of the order of operations: spec mtp-diffusion.md, A4 to A8 (huggingface/transformers
// models/gemma4_assistant/modeling_gemma4_assistant.py).
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/draft_weights.h"
#include "lib/model/text_decoder.h"

namespace gemma4 {

class DraftModel {
 public:
  /// `config` is bound to the target's. All but `weights` must outlive the model. Memory is taken
  /// here, for rounds of up to `max_rows` sequences.
  DraftModel(Ops& ops, const DraftConfig& config, DraftWeights weights, const TextDecoder& target,
             int64_t max_rows);

  /// Drafts `count` tokens for each row of `step`, and nothing is stored anywhere. A row is one
  /// sequence: its token is the newest one, and its position and visible keys hold for all drafts.
  /// Row hidden_rows[r] of `hidden` is the target's final hidden state that chose that token. `kv`:
  /// the target's, one entry a layer. Returns ids [count][rows].
  std::vector<std::vector<int32_t>> draft(Step& step, Matrix hidden,
                                          std::span<const int32_t> hidden_rows,
                                          std::span<const KvLayer> kv, int64_t count);

  const DraftConfig& config() const { return config_; }
  int64_t max_rows() const { return max_rows_; }
  /// Bytes of activation memory that a model for `max_rows` rows takes.
  static size_t scratch_bytes(const DraftConfig& config, int64_t max_rows);

  /// Shows inner tensors as they are computed: "inputs_embeds", "out" (of a layer), "final_norm",
  /// "centroid_logits", "logits", "projected_hidden"; for tests. "logits" with centroids are those
  /// of the chosen clusters, in the order of `last_clusters`.
  using Probe = std::function<void(std::string_view what, int32_t layer, Matrix value)>;
  void set_probe(Probe probe) { probe_ = std::move(probe); }
  /// Of the last row: the clusters whose tokens got logits, ascending.
  const std::vector<int32_t>& last_clusters() const { return chosen_; }

 private:
  Matrix matrix(int64_t rows, int64_t cols, Dtype dtype);
  void forward(const Step& step, std::span<const KvLayer> kv);
  void attend(const LayerWeights& w, const Step& step, const KvLayer& kv);
  void choose(int64_t rows, int32_t* tokens);
  void choose_by_centroids(int64_t rows, int32_t* tokens);
  std::vector<float> to_host(Matrix values);
  void show(std::string_view what, int32_t layer, Matrix value) const {
    if (probe_) probe_(what, layer, value);
  }

  Ops& ops_;
  const DraftConfig& config_;
  DraftWeights weights_;
  const TextDecoder& target_;
  int64_t max_rows_;
  RopeTable rope_[kLayerKinds];
  std::vector<std::unique_ptr<Buffer>> buffers_;
  Matrix halves_;  // [2 * rows, backbone_hidden]: token embeddings, then states
  Matrix inputs_;  // [2 * rows, backbone_hidden]: embedding and state of each row in turn
  Matrix x_, normed_, branch_, q_, heads_;
  Matrix logits_;     // dense: [rows, vocab]; centroids: [1, chosen clusters' tokens]
  Matrix centroids_;  // [rows, num_centroids]
  std::vector<int32_t> chosen_;
  Probe probe_;
};

}  // namespace gemma4
