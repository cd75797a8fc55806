// Golden prompts with images, clips and video frames, from their files through the engine.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/runtime/media_prompt.h"
#include "tests/support/golden_files.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

struct Case {
  std::string golden;
  std::string prompt;  // "prompt0."
  std::vector<std::string> files;
};

const std::vector<Case> kCases = {
    {"vision-e", "prompt0.", {"img0.png"}},
    {"vision-e", "prompt1.", {"img1.png", "img0.png"}},
    {"vision-e", "prompt2.", {"img3.png"}},
    {"vision-31b", "prompt0.", {"img0.png"}},
    {"vision-31b", "prompt1.", {"img1.png", "img0.png"}},
    {"audio-e", "prompt0.", {"clip0.wav"}},
    {"audio-e", "prompt1.", {"clip0.wav", "clip1.wav"}},
    {"unified", "prompt0.", {"img0.png"}},
    {"unified", "prompt1.", {"clip0.wav"}},
    {"unified", "prompt2.", {"img1.png", "img0.png", "clip1.wav"}},
};

std::unique_ptr<Engine> load(const std::string& golden, int64_t chunk,
                             const std::string& device = "cpu", int64_t sequences = 1) {
  EngineOptions options;
  options.directory = golden_dir(golden);
  options.device = device;
  options.kv_cache_dtype = Dtype::kF32;
  options.exact_activations = true;
  options.max_chunk = chunk;
  options.max_sequences = sequences;
  options.media.image_tokens = 140;
  // The snapshot that made the golden has an image mask of its own (ruling 7).
  if (golden == "unified")
    set_model_option(options.model_options, "image_mask_rule=all_layers_unbounded");
  return Engine::load(options);
}

MediaAttachment attach(const std::string& golden, const std::string& file) {
  const MediaKind kind = file.ends_with(".wav") ? MediaKind::kAudio : MediaKind::kImage;
  return {kind, MediaSource::open((golden_dir(golden) / file).string())};
}

MediaPrompt prompt_of(const PromptTools& tools, const SafetensorsFile& file, const Case& what,
                      const MediaOptions& options = {}) {
  std::vector<MediaAttachment> attachments;
  for (const std::string& name : what.files) attachments.push_back(attach(what.golden, name));
  return fill_media(tools, ids_of(file, what.prompt + "input_ids"), attachments, options);
}

GenerationRequest greedy(const MediaPrompt& prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = prompt.ids;
  request.media = prompt.spans;
  request.sampling.temperature = 0.0f;
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  return request;
}

GenerationResult run(Engine& engine, const GenerationRequest& request) {
  return engine.generate({&request, 1}, {}).at(0);
}

// Compares log probabilities at the last positions with the golden's logits.
void check_tail(const std::string& name, const GenerationResult& result,
                const std::vector<float>& tail, size_t vocab) {
  const size_t rows = tail.size() / vocab;
  const size_t length = result.prompt_logprobs.size();
  double worst = 0.0;
  for (size_t row = 0; row < rows; ++row) {
    // The logits at position p predict token p + 1; those of the last, the answer's first.
    const size_t predicted = length - rows + row + 1;
    const TokenLogprob& got =
        predicted < length ? *result.prompt_logprobs[predicted] : result.logprobs.at(0);
    const float* logits = tail.data() + row * vocab;
    double sum = 0.0;
    for (size_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[i]));
    REQUIRE(got.top.size() == vocab);
    for (const ScoredToken& token : got.top) {
      const double expected = logits[token.id] - std::log(sum);
      worst = std::max(worst, std::abs(expected - static_cast<double>(token.logprob)));
    }
  }
  CHECK_MESSAGE(worst <= 2e-3, name << ": max " << worst);
}

}  // namespace

TEST_CASE("golden prompts with media run through the engine from their files, in any chunks") {
  for (const std::string& device : built_backends()) {
    for (const Case& what : kCases) {
      const std::string name = what.golden + " " + what.prompt + " on " + device;
      CAPTURE(name);
      const PromptTools tools = load_prompt_tools(golden_dir(what.golden));
      const SafetensorsFile file(golden_dir(what.golden) / "goldens.safetensors");
      const MediaPrompt prompt = prompt_of(tools, file, what);
      for (const int64_t chunk : {1, 7, 64, 512}) {
        CAPTURE(chunk);
        const auto engine = load(what.golden, chunk, device);
        const auto expected = ids_of(file, what.prompt + "greedy_tokens");
        GenerationRequest request = greedy(prompt, static_cast<int64_t>(expected.size()));
        CHECK(run(*engine, request).token_ids == expected);
        CHECK(engine->encoded_media() == static_cast<int64_t>(what.files.size()));
        request.max_tokens = 1;
        request.logprobs = 512;
        request.prompt_logprobs = 512;
        check_tail(name, run(*engine, request), floats_of(file, what.prompt + "logits_tail"), 512);
        CHECK(engine->encoded_media() == static_cast<int64_t>(what.files.size()));
      }
    }
  }
}

}  // namespace gemma4
