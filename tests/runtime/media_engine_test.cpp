// Golden prompts with images, clips and video frames, from their files through the engine.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/runtime/media_prompt.h"
#include "tests/media/media_files.h"
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

TEST_CASE("the frames of a video file run through the engine as in the official implementation") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  const std::string video = folder.file("frames.mkv");
  const auto strip = golden_dir("video") / "frames.png";
  // Twelve pictures of 96 x 64, cut out of the strip one after the other.
  run_command("ffmpeg -v error -loop 1 -r 4 -i '" + strip.string() +
              "' -vf 'crop=96:64:0:64*n' -frames:v 12 -c:v ffv1 -pix_fmt bgr0 '" + video + "'");
  const PromptTools tools = load_prompt_tools(golden_dir("vision-31b"));
  const SafetensorsFile file(golden_dir("video") / "goldens.safetensors");
  const MediaAttachment attachment{MediaKind::kVideo, MediaSource::open(video)};
  // As many frames as the prompt has runs for.
  const MediaPrompt prompt = fill_media(tools, ids_of(file, "input_ids"), {&attachment, 1}, {});
  REQUIRE(prompt.spans.size() == 3);
  for (const int64_t chunk : {7, 64, 512}) {
    CAPTURE(chunk);
    const auto engine = load("vision-31b", chunk);
    GenerationRequest request = greedy(prompt, 1);
    request.logprobs = 512;
    request.prompt_logprobs = 512;
    check_tail("video", run(*engine, request), floats_of(file, "logits_tail"), 512);
    CHECK(engine->encoded_media() == 3);
  }
}

TEST_CASE("requests with media give in company what they give alone, and equal media are shared") {
  for (const std::string golden : {"vision-e", "vision-31b", "unified"}) {
    CAPTURE(golden);
    const PromptTools tools = load_prompt_tools(golden_dir(golden));
    const SafetensorsFile file(golden_dir(golden) / "goldens.safetensors");
    std::vector<GenerationRequest> requests;
    for (int i = 0; i < 3; ++i) {
      for (const Case& what : kCases) {
        if (what.golden == golden) {
          requests.push_back(greedy(prompt_of(tools, file, what), 6 + i));
        }
      }
      requests.push_back(greedy({{2, 105, 130, static_cast<TokenId>(140 + i)}, {}, {}}, 9));
    }
    const auto single = load(golden, 48);
    for (const int64_t sequences : {2, 12}) {
      const auto batched = load(golden, 48, "cpu", sequences);
      const auto results = batched->generate(requests, {});
      for (size_t i = 0; i < requests.size(); ++i) {
        CAPTURE(i);
        CHECK(results[i].token_ids == run(*single, requests[i]).token_ids);
        int64_t soft = 0;
        for (const MediaSpan& span : requests[i].media) soft += span.input->soft_tokens;
        CHECK(results[i].media_tokens == soft);
      }
      CHECK(batched->encoded_media() <= 4);  // the files of the goldens, once each
    }
  }
}

TEST_CASE("a session reuses pictures that stay, and never the keys of another picture") {
  for (const std::string golden : {"vision-e", "vision-31b"}) {
    CAPTURE(golden);
    const PromptTools tools = load_prompt_tools(golden_dir(golden));
    const SafetensorsFile file(golden_dir(golden) / "goldens.safetensors");
    const auto engine = load(golden, 64, "cpu", 2);
    const auto session = engine->open_session();
    const auto ask = [&](const MediaPrompt& prompt) {
      GenerationRequest request = greedy(prompt, 8);
      const GenerationResult fresh = run(*engine, request);
      request.session = session.get();
      const GenerationResult result = run(*engine, request);
      CHECK(result.token_ids == fresh.token_ids);
      return result.cached_tokens;
    };
    MediaPrompt prompt = prompt_of(tools, file, kCases[golden == "vision-e" ? 0 : 3]);
    CHECK(ask(prompt) == 0);
    const int64_t encoded = engine->encoded_media();
    // Another question about the picture: it is neither encoded nor computed again.
    MediaPrompt question = prompt;
    question.ids.insert(question.ids.end(), {107, 120, 130, 140});
    CHECK(ask(question) >= static_cast<int64_t>(prompt.ids.size()) - 1);
    CHECK(engine->encoded_media() == encoded);
    // The same ids with another picture.
    MediaInput other = *prompt.spans[0].input;
    other.patches.pixels[5] = static_cast<uint8_t>(other.patches.pixels[5] ^ 0x80);
    MediaPrompt changed = question;
    changed.spans[0].input = make_media_input(std::move(other));
    CHECK(ask(changed) == changed.spans[0].first);
    CHECK(engine->encoded_media() == encoded + 1);
    // A prompt that ends with the picture: only all of it could be reused, and its last row is
    // wanted, so that where rows see each other nothing of it is.
    MediaPrompt cut = changed;
    cut.ids.resize(static_cast<size_t>(cut.spans[0].end()));
    const bool both_ways = engine->config().text.bidirectional_vision;
    CHECK(ask(cut) == (both_ways ? cut.spans[0].first : cut.spans[0].end() - 1));
  }
}

TEST_CASE("an image block longer than a chunk needs a plan that knows of it") {
  const PromptTools tools = load_prompt_tools(golden_dir("vision-31b"));
  const SafetensorsFile file(golden_dir("vision-31b") / "goldens.safetensors");
  EngineOptions options;
  options.directory = golden_dir("vision-31b");
  options.max_chunk = 32;
  const auto small = Engine::load(options);
  const GenerationRequest request = greedy(prompt_of(tools, file, kCases[3]), 1);
  CHECK_THROWS_AS(run(*small, request), Error);
  const MemoryPlan without = plan_memory(options, 100);
  options.media.include(*request.media[0].input);
  CHECK(options.media.image_tokens == 56);
  const MemoryPlan with = plan_memory(options, 100);
  CHECK(with.scratch > without.scratch);
  CHECK(without.media == 0);
  CHECK(with.media > 0);
  CHECK(run(*Engine::load(options), request).token_ids.size() == 1);
}

TEST_CASE("a text prompt encodes nothing, and a model without an encoder refuses media") {
  const PromptTools tools = load_prompt_tools(golden_dir("vision-e"));
  CHECK(tools.media.images);
  CHECK_FALSE(tools.media.audio);
  const auto engine = load("vision-e", 64);
  CHECK(run(*engine, greedy({{2, 105, 130}, {}, {}}, 2)).media_tokens == 0);
  CHECK(engine->encoded_media() == 0);
  const MediaAttachment clip = attach("audio-e", "clip0.wav");
  CHECK_THROWS_WITH_AS(prepare_media(clip, tools.media, {}), doctest::Contains("no audio encoder"),
                       Error);
  const PromptTools hears = load_prompt_tools(golden_dir("audio-e"));
  const SafetensorsFile file(golden_dir("audio-e") / "goldens.safetensors");
  const GenerationRequest request = greedy(prompt_of(hears, file, kCases[5]), 1);
  try {
    run(*engine, request);
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(error.exit_code() == 4);
  }
  const auto text_only = load("text-e", 64);
  CHECK_THROWS_WITH_AS(run(*text_only, request), doctest::Contains("no audio encoder"), Error);
}

TEST_CASE("runs of placeholders and files must fit each other") {
  const PromptTools tools = load_prompt_tools(golden_dir("vision-e"));
  const SafetensorsFile file(golden_dir("vision-e") / "goldens.safetensors");
  const auto fill = [&](const std::string& prompt, std::vector<std::string> files, int budget) {
    return prompt_of(tools, file, {"vision-e", prompt, std::move(files)}, {.image_budget = budget});
  };
  CHECK(fill("prompt0.", {"img0.png"}, 70).spans.size() == 1);
  const auto message = [&](auto&&... arguments) { return error_of([&] { fill(arguments...); }); };
  CHECK(contains(message("prompt0.", std::vector<std::string>{}, 0),
                 "1 image placeholders for 0 files"));
  CHECK(contains(message("prompt0.", std::vector<std::string>{"img0.png", "img0.png"}, 70),
                 "1 image placeholders for 2 files"));
  CHECK(contains(message("prompt1.", std::vector<std::string>{"img1.png"}, 70),
                 "2 image placeholders for 1 files"));
  CHECK(contains(message("prompt0.", std::vector<std::string>{"img0.png"}, 280), "soft tokens"));
  CHECK(contains(message("prompt1.", std::vector<std::string>{"img0.png", "img1.png"}, 70),
                 "soft tokens"));
  // A picture with fewer soft tokens than its place leaves a rest.
  CHECK(contains(message("prompt2.", std::vector<std::string>{"img0.png"}, 70), "not filled"));
}

TEST_CASE("a recording of more than 30 seconds becomes clips with markers of their own") {
  const PromptTools tools = load_prompt_tools(golden_dir("audio-e"));
  const auto clips = [&](int64_t samples) {
    std::vector<int16_t> pcm(static_cast<size_t>(samples));
    for (size_t i = 0; i < pcm.size(); ++i) pcm[i] = static_cast<int16_t>(i * 7919 % 20011);
    const PreparedMedia media = prepare_media(
        {MediaKind::kAudio,
         MediaSource::from_bytes(wav_bytes(pcm_bytes(pcm), 1, 1, 16000, 16), "long.wav")},
        tools.media, {});
    std::vector<int64_t> tokens;
    for (const MediaInputPtr& input : media.inputs) tokens.push_back(input->soft_tokens);
    CHECK(media.pieces.size() == 3 * tokens.size());
    CHECK(media.seconds == doctest::Approx(static_cast<double>(samples) / 16000));
    return tokens;
  };
  const LogLevel level = log_level();
  set_log_level(LogLevel::kQuiet);
  CHECK(clips(480'000) == std::vector<int64_t>{750});
  CHECK(clips(480'100) == std::vector<int64_t>{750});  // 6 ms more give the model nothing to hear
  CHECK(clips(480'161) == std::vector<int64_t>{750, 1});
  CHECK(clips(1'000'000) == std::vector<int64_t>{750, 750, 63});
  set_log_level(level);
  CHECK_THROWS_AS(clips(160), Error);
}

TEST_CASE("a tower's tensor that is missing, of another shape or unknown stops the load") {
  const auto load_with = [](const std::string& golden,
                            const std::function<void(std::string&)>& edit) {
    const TemporaryFolder folder;
    std::string bytes = file_bytes((golden_dir(golden) / "model.safetensors").string());
    const auto header =
        static_cast<size_t>(*reinterpret_cast<const uint64_t*>(bytes.data()));  // little endian
    std::string json = bytes.substr(8, header);
    edit(json);
    REQUIRE(json.size() <= header);
    json.resize(header, ' ');
    bytes.replace(8, header, json);
    write_bytes(folder.file("model.safetensors"), bytes);
    std::filesystem::copy_file(golden_dir(golden) / "config.json", folder.file("config.json"));
    EngineOptions options;
    options.directory = folder.file("");
    return error_of([&] { Engine::load(options); }, ErrorKind::kModel);
  };
  const auto rename = [](const std::string& from, const std::string& to) {
    return [=](std::string& json) {
      const size_t at = json.find('"' + from + '"');
      REQUIRE(at != std::string::npos);
      json.replace(at + 1, from.size(), to);
    };
  };
  const std::string norm = "model.vision_tower.encoder.layers.1.input_layernorm.weight";
  CHECK(contains(load_with("vision-e", rename(norm, "model.vision_tower.x")), norm));
  CHECK(contains(
      load_with("vision-31b", rename("model.vision_tower.std_bias", "model.vision_tower.std_bia")),
      "std_bias"));
  CHECK(contains(load_with("audio-e", rename("model.audio_tower.output_proj.bias",
                                             "model.audio_tower.output_proj.bia")),
                 "output_proj.bias"));
  CHECK(contains(load_with("unified", rename("model.vision_embedder.pos_norm.bias",
                                             "model.vision_embedder.pos_norm.bia")),
                 "pos_norm.bias"));
}

TEST_CASE("model options are named, and their values checked") {
  ModelOptions options;
  set_model_option(options, "image_mask_rule=all_layers");
  CHECK(options.image_mask_rule == ImageMaskRule::kAllLayers);
  set_model_option(options, "audio_left_keys=13");
  CHECK(options.audio_left_keys == 13);
  for (const char* text : {"", "image_mask_rule", "image_mask_rule=", "image_mask_rule=full",
                           "audio_left_keys=0", "audio_left_keys=12x", "colour=red"}) {
    CAPTURE(text);
    error_of([&] { set_model_option(options, text); }, ErrorKind::kUsage);
  }
  // Thirteen keys change what the conformer gives.
  const PromptTools tools = load_prompt_tools(golden_dir("audio-e"));
  const SafetensorsFile file(golden_dir("audio-e") / "goldens.safetensors");
  GenerationRequest request = greedy(prompt_of(tools, file, kCases[5]), 1);
  request.logprobs = 1;
  EngineOptions engine_options;
  engine_options.directory = golden_dir("audio-e");
  const float twelve = run(*Engine::load(engine_options), request).logprobs[0].token.logprob;
  engine_options.model_options = options;
  CHECK(run(*Engine::load(engine_options), request).logprobs[0].token.logprob != twelve);
}

}  // namespace gemma4
