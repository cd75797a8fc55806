// Golden prompts with images, video frames or audio in them: merged, run and compared.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "tests/support/decoder_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {

/// Checks a tensor against the tight float32 tolerance of the goldens' README.
inline void check_tensor(const std::string& name, const float* got, size_t size,
                         const std::vector<float>& expected) {
  REQUIRE_MESSAGE(size == expected.size(), name);
  const Difference d = difference(got, expected.data(), size);
  CHECK_MESSAGE(d.max <= 1e-4 + 1e-4 * abs_max(expected), name << ": max " << d.max);
}

/// The same for a tensor in the backend's memory.
inline void check_matrix(const std::string& name, Ops& ops, Matrix got,
                         const std::vector<float>& expected) {
  std::vector<float> values(static_cast<size_t>(got.rows * got.cols));
  ops.copy_to_host(values.data(), got.data, values.size() * sizeof(float));
  check_tensor(name, values.data(), values.size(), expected);
}

/// `pixels` / 255 of a golden's 8-bit patches.
inline std::vector<float> patch_values_of(const SafetensorsFile& golden, const std::string& name) {
  const std::optional<Tensor> tensor = golden.find(name);
  REQUIRE_MESSAGE(tensor.has_value(), name);
  REQUIRE(tensor->dtype == Dtype::kU8);
  const auto* bytes = static_cast<const uint8_t*>(tensor->data);
  std::vector<float> values;
  for (int64_t i = 0; i < tensor->elements(); ++i) {
    values.push_back(static_cast<float>(bytes[i]) * (1.0f / 255.0f));
  }
  return values;
}

/// A golden prompt: placeholders given as the pad token, and where soft tokens and blocks are.
struct MediaPrompt {
  MediaPrompt(const DecoderFixture& run, std::vector<int32_t> input_ids) : ids(input_ids) {
    const MediaTokens& media = run.config.media;
    for (size_t i = 0; i < input_ids.size(); ++i) {
      const auto position = static_cast<int32_t>(i);
      const int32_t id = input_ids[i];
      blocks.push_back({position, position + 1});
      if (id != media.image && id != media.video && id != media.audio) continue;
      soft_rows.push_back(position);
      ids[i] = run.config.pad_id;
      if (id == media.audio || i == 0) continue;
      if (input_ids[i - 1] != media.image && input_ids[i - 1] != media.video) continue;
      const int32_t begin = blocks[i - 1].begin;  // the block goes on
      for (int32_t p = begin; p <= position; ++p) {
        blocks[static_cast<size_t>(p)] = {begin, position + 1};
      }
    }
  }

  /// The step of the whole prompt, as sequence 0, with the rows of `soft` put in, in order.
  Step step(DecoderFixture& run, const std::vector<const SoftTokens*>& soft,
            ImageMaskRule rule) const {
    run.reset();
    run.cache->extend(0, static_cast<int64_t>(ids.size()));
    const Segment segment{0, 0, ids, blocks};
    Step step = build_step(run.config.text, *run.cache, {&segment, 1}, rule);
    step.soft_rows = soft_rows;
    for (const SoftTokens* tokens : soft) {
      for (int64_t r = 0; r < tokens->rows; ++r) {
        step.soft_embeddings.push_back(tokens->values.data() + r * run.config.text.hidden_size);
      }
    }
    REQUIRE(step.soft_embeddings.size() == step.soft_rows.size());
    return step;
  }

  std::vector<int32_t> ids;
  std::vector<KeyRange> blocks;
  std::vector<int32_t> soft_rows;
};

/// Compares one golden prompt: masks, merged embeddings, layers, the last logits and the greedy
/// continuation, as far as the golden has them. `prefix` is "prompt0." or empty.
inline void check_prompt(DecoderFixture& run, const SafetensorsFile& golden,
                         const std::string& prefix, const std::vector<const SoftTokens*>& soft,
                         ImageMaskRule rule = ImageMaskRule::kSliding) {
  CAPTURE(prefix);
  const MediaPrompt prompt(run, ids_of(golden, prefix + "input_ids"));
  Step step = prompt.step(run, soft, rule);
  for (const auto& [kind, name] : {std::pair{LayerKind::kSliding, "mask.sliding_attention"},
                                   std::pair{LayerKind::kFull, "mask.full_attention"}}) {
    const std::optional<Tensor> mask = golden.find(prefix + name);
    if (!mask) continue;
    const auto* allowed = static_cast<const uint8_t*>(mask->data);
    int64_t wrong = 0;
    for (int64_t q = 0; q < step.rows(); ++q) {
      const KeyRange range = step.visible_of(kind)[static_cast<size_t>(q)];
      for (int64_t k = 0; k < step.rows(); ++k) {
        wrong += (allowed[q * step.rows() + k] != 0) != (range.begin <= k && k < range.end);
      }
    }
    CHECK_MESSAGE(wrong == 0, name);
  }
  const int32_t last = run.config.text.num_layers() - 1;
  run.decoder->set_probe([&](std::string_view what, int32_t layer, Matrix value) {
    std::string name;
    if (what == "embed") name = "embeds";
    if (what == "out" && layer == 0) name = "layer00.out";
    if (what == "out" && layer == last) name = "layer_last.out";
    if (name.empty() || !golden.find(prefix + name)) return;
    check_matrix(name, *run.ops, value, floats_of(golden, prefix + name));
  });
  std::vector<int32_t> wanted(prompt.ids.size());
  for (size_t i = 0; i < wanted.size(); ++i) wanted[i] = static_cast<int32_t>(i);
  std::vector<float> logits;
  run.append_logits(run.decoder->forward(step, wanted, run.cache->layers()), logits);
  run.decoder->set_probe({});

  const std::vector<float> tail = floats_of(golden, prefix + "logits_tail");
  const Difference d =
      difference(logits.data() + logits.size() - tail.size(), tail.data(), tail.size());
  CHECK_MESSAGE(d.max <= 1e-3, "logits_tail: max " << d.max);
  CHECK_MESSAGE(d.rms <= 1e-4, "logits_tail: rms " << d.rms);

  if (!golden.find(prefix + "greedy_tokens")) return;
  const auto vocab = static_cast<int64_t>(run.config.text.vocab_size);
  auto position = static_cast<int32_t>(prompt.ids.size());
  for (const int32_t expected : ids_of(golden, prefix + "greedy_tokens")) {
    const auto token = static_cast<int32_t>(std::max_element(logits.end() - vocab, logits.end()) -
                                            (logits.end() - vocab));
    REQUIRE(token == expected);
    logits = run.logits({token}, 1, position++);
  }
}

}  // namespace gemma4
