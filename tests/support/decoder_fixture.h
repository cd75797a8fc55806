// A golden checkpoint, loaded and ready to run on one backend.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "lib/model/checkpoint_tensors.h"
#include "lib/model/diffusion_tensors.h"
#include "lib/model/media_encoder.h"
#include "lib/model/text_decoder.h"
#include "lib/runtime/kv_cache.h"
#include "lib/runtime/step_builder.h"
#include "tests/support/golden_files.h"

namespace gemma4 {

class DecoderFixture {
 public:
  /// `checkpoint_dir`: the name of a golden folder, or an absolute path. Activations are exact with
  /// float32 keys and values, and as by default with others, unless `exact` says.
  DecoderFixture(const std::filesystem::path& checkpoint_dir, const std::string& device,
                 Dtype kv_dtype, int64_t max_chunk = 64, int64_t max_sequences = 1,
                 const WeightChoice& choice = {}, std::optional<bool> exact = std::nullopt)
      : ops(make_backend(device, {.exact_activations = exact.value_or(kv_dtype == Dtype::kF32)})),
        checkpoint(Checkpoint::open(checkpoint_dir.is_absolute() ? checkpoint_dir
                                                                 : golden_dir(checkpoint_dir))),
        config(parse_model_config(checkpoint.config(), checkpoint.generation_config())),
        kv_options{kv_dtype, max_sequences, 1024 * max_sequences, max_chunk} {
    CheckpointTensors file(checkpoint, *ops);
    DiffusionTensors renamed(file);
    TensorSource& source = config.diffusion ? static_cast<TensorSource&>(renamed) : file;
    TextWeights weights = load_text_weights(source, config.text, *ops, choice);
    if (config.diffusion) weights.canvas = load_canvas_weights(source, config, *ops, choice);
    media = load_media_encoders(source, config, *ops);
    file.finish();
    decoder = std::make_unique<TextDecoder>(*ops, config.text, std::move(weights),
                                            max_chunk * max_sequences);
    reset();
  }

  /// Forgets all sequences.
  void reset() {
    cache = std::make_unique<KvCache>(*ops, config.text, kv_options);
    for (int64_t s = 0; s < kv_options.max_sequences; ++s) cache->add_sequence();
  }

  /// Logits [ids, vocab] of all positions of sequence `sequence`, from `first` on, in chunks.
  std::vector<float> logits(const std::vector<int32_t>& ids, int64_t chunk, int32_t first = 0,
                            int32_t sequence = 0) {
    std::vector<float> out;
    for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(chunk)) {
      const size_t count = std::min(ids.size() - at, static_cast<size_t>(chunk));
      const auto position = first + static_cast<int32_t>(at);
      cache->extend(sequence, position + static_cast<int64_t>(count));
      const Segment segment{sequence, position, std::span(ids).subspan(at, count), {}};
      Step step = build_step(config.text, *cache, {&segment, 1});
      std::vector<int32_t> wanted(count);
      std::iota(wanted.begin(), wanted.end(), 0);
      append_logits(decoder->forward(step, wanted, cache->layers()), out);
    }
    return out;
  }

  /// Stores `ids` without asking for logits, but for the last one's: [vocab].
  std::vector<float> last_logits(const std::vector<int32_t>& ids, int64_t chunk) {
    std::vector<float> out;
    for (size_t at = 0; at < ids.size(); at += static_cast<size_t>(chunk)) {
      const size_t count = std::min(ids.size() - at, static_cast<size_t>(chunk));
      cache->extend(0, static_cast<int64_t>(at + count));
      const Segment segment{0, static_cast<int32_t>(at), std::span(ids).subspan(at, count), {}};
      Step step = build_step(config.text, *cache, {&segment, 1});
      std::vector<int32_t> wanted;
      if (at + count == ids.size()) wanted.push_back(static_cast<int32_t>(count) - 1);
      const Matrix hidden = decoder->forward(step, wanted, cache->layers());
      if (!wanted.empty()) append_logits(hidden, out);
    }
    return out;
  }

  void append_logits(Matrix hidden, std::vector<float>& out) {
    const auto vocab = static_cast<size_t>(config.text.vocab_size);
    const auto buffer = ops->allocate(static_cast<size_t>(hidden.rows) * vocab * sizeof(float));
    decoder->logits(hidden, {buffer->data(), Dtype::kF32, hidden.rows, config.text.vocab_size});
    out.resize(out.size() + static_cast<size_t>(hidden.rows) * vocab);
    ops->copy_to_host(out.data() + out.size() - static_cast<size_t>(hidden.rows) * vocab,
                      buffer->data(), static_cast<size_t>(hidden.rows) * vocab * sizeof(float));
  }

  std::unique_ptr<Ops> ops;
  Checkpoint checkpoint;
  ModelConfig config;
  KvCacheOptions kv_options;
  MediaEncoders media;
  std::unique_ptr<TextDecoder> decoder;
  std::unique_ptr<KvCache> cache;
};

}  // namespace gemma4
