// The diffusion golden checkpoint on one backend: passes over canvases, without the engine.
#pragma once

#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "tests/support/decoder_fixture.h"

namespace gemma4 {

class CanvasFixture : public DecoderFixture {
 public:
  CanvasFixture(const std::string& device, Dtype kv_dtype, int64_t max_chunk = 64,
                int64_t max_sequences = 1, std::optional<bool> exact = std::nullopt)
      : DecoderFixture("diffusion", device, kv_dtype, max_chunk, max_sequences, {}, exact) {}

  /// Stores ids at the positions from `first` on, in one step.
  void encode(const std::vector<int32_t>& ids, int32_t first, int32_t sequence = 0) {
    cache->extend(sequence, first + static_cast<int64_t>(ids.size()));
    const Segment segment{.sequence = sequence, .first_position = first, .tokens = ids};
    Step step = build_step(config.text, *cache, {&segment, 1});
    // All rows are wanted, so that every layer is run in full and can be looked at.
    std::vector<int32_t> wanted(ids.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    decoder->forward(step, wanted, cache->layers());
  }

  /// Logits [tokens, vocab] of a canvas after `position` encoded tokens. An empty mixture is zeros.
  std::vector<float> denoise(const std::vector<int32_t>& tokens, int32_t position,
                             std::vector<float> mixture = {}, int32_t sequence = 0) {
    const auto count = static_cast<int64_t>(tokens.size());
    const int64_t hidden = config.text.hidden_size;
    mixture.resize(static_cast<size_t>(count * hidden));
    const auto memory = ops->allocate(mixture.size() * sizeof(float));
    ops->copy_from_host(memory->data(), mixture.data(), mixture.size() * sizeof(float));
    cache->extend(sequence, position + count);
    const Segment segment{.sequence = sequence,
                          .first_position = position,
                          .tokens = tokens,
                          .canvas_context = config.text.sliding_window - 1};
    Step step = build_step(config.text, *cache, {&segment, 1});
    std::vector<int32_t> wanted(tokens.size());
    std::iota(wanted.begin(), wanted.end(), 0);
    const CanvasRows rows{0, count, {memory->data(), Dtype::kF32, count, hidden}};
    std::vector<float> logits;
    const Matrix normed = decoder->forward(step, wanted, cache->layers(), {&rows, 1});
    final_norm.resize(static_cast<size_t>(count * hidden));
    ops->copy_to_host(final_norm.data(), normed.data, final_norm.size() * sizeof(float));
    append_logits(normed, logits);
    return logits;
  }

  /// Hidden states of the last pass, after the final norm.
  std::vector<float> final_norm;

  /// What comes of logits; `mixture` receives the next pass's.
  std::vector<CanvasChoice> judge(const std::vector<float>& logits, float temperature,
                                  std::vector<float>& mixture) {
    const int64_t vocab = config.text.vocab_size;
    const auto count = static_cast<int64_t>(logits.size()) / vocab;
    const int64_t hidden = config.text.hidden_size;
    const auto p = ops->allocate(logits.size() * sizeof(float));
    ops->copy_from_host(p->data(), logits.data(), logits.size() * sizeof(float));
    const auto out = ops->allocate(static_cast<size_t>(count * hidden) * sizeof(float));
    const std::vector<CanvasRow> rows(static_cast<size_t>(count), {temperature, 0.5, {}});
    std::vector<CanvasChoice> choices(rows.size());
    const Matrix probabilities{p->data(), Dtype::kF32, count, vocab};
    ops->judge_canvas(probabilities, rows, choices.data());
    ops->embed_mixture(probabilities, decoder->weights().embed_tokens, config.text.embedding_scale,
                       {out->data(), Dtype::kF32, count, hidden});
    mixture.resize(static_cast<size_t>(count * hidden));
    ops->copy_to_host(mixture.data(), out->data(), mixture.size() * sizeof(float));
    return choices;
  }

  /// Keys (or values) of one layer at positions [first, end): [kv_heads, positions, head_dim].
  std::vector<float> cached(int32_t layer, bool values, int32_t first, int32_t end,
                            int32_t sequence = 0) const {
    const KvLayer& kv = cache->layers()[static_cast<size_t>(layer)];
    const auto* array = static_cast<const float*>(values ? kv.values : kv.keys);
    std::vector<float> out;
    for (int32_t head = 0; head < kv.num_kv_heads; ++head) {
      for (int32_t position = first; position < end; ++position) {
        const int64_t slot = cache->pages(kv.kind).slot(sequence, position);
        const int64_t block = slot / kv.block_size;
        const float* from =
            array +
            ((block * kv.num_kv_heads + head) * kv.block_size + slot % kv.block_size) * kv.head_dim;
        out.insert(out.end(), from, from + kv.head_dim);
      }
    }
    return out;
  }
};

}  // namespace gemma4
