// The engine on a diffusion model: blocks, limits, batches, sessions.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "lib/base/error.h"
#include "lib/io/json.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/media_prompt.h"
#include "tests/support/golden_files.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

constexpr int64_t kCanvas = 16;  // of the golden checkpoint

// The golden checkpoint with fewer steps. Over many steps self-conditioning on random weights blows
// the last bit up into other tokens, and that bit depends on how many rows a product has.
const std::filesystem::path& checkpoint() {
  static const ScratchDir scratch;
  const std::filesystem::path generation_file = scratch.path() / "generation_config.json";
  if (std::filesystem::exists(generation_file)) return scratch.path();
  for (const char* file : {"config.json", "model.safetensors"}) {
    std::filesystem::copy_file(golden_dir("diffusion") / file, scratch.path() / file);
  }
  Json generation =
      read_json_file(golden_dir("diffusion") / "generation_config.json", ErrorKind::kInternal);
  generation["max_denoising_steps"] = 4;
  generation["sampler_config"]["entropy_bound"] = 4.0;
  std::ofstream(generation_file) << generation.dump();
  return scratch.path();
}

EngineOptions options(int64_t sequences = 1, int64_t chunk = 32, int64_t context = 0) {
  EngineOptions o;
  o.directory = checkpoint();
  o.device = "cpu";
  o.kv_cache_dtype = Dtype::kF32;
  o.exact_activations = true;
  o.max_sequences = sequences;
  o.max_chunk = chunk;
  o.context = context;
  return o;
}

std::vector<TokenId> prompt_of(int length, uint32_t seed) {
  std::vector<TokenId> ids = {2};
  uint32_t state = seed * 2654435761u + 1;
  while (static_cast<int>(ids.size()) < length) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<TokenId>(110 + (state >> 16) % 95));
  }
  return ids;
}

GenerationRequest request(std::vector<TokenId> prompt, int64_t max_tokens, uint64_t seed = 1) {
  GenerationRequest r;
  r.prompt = std::move(prompt);
  r.seed = seed;
  r.max_tokens = max_tokens;
  r.ignore_eos = true;
  return r;
}

GenerationResult run(Engine& engine, const GenerationRequest& r) {
  return engine.generate({&r, 1}, {}).at(0);
}

}  // namespace

TEST_CASE("an answer goes on block by block, and the limit cuts the last one") {
  const auto engine = Engine::load(options());
  const GenerationResult all = run(*engine, request(prompt_of(20, 1), 40));
  CHECK(all.token_ids.size() == 40);
  CHECK(all.completion_tokens == 40);
  CHECK(all.finish_reason == FinishReason::kLength);
  CHECK(all.denoising_steps >= 3 * 2);
  CHECK(all.denoising_steps <= 3 * 4);
  CHECK(all.ttft_ms > 0.0);
  // The same blocks whatever the limit, whatever the chunk that prompts are read in.
  for (const int64_t limit : {1, 16, 17, 33}) {
    const GenerationResult part = run(*engine, request(prompt_of(20, 1), limit));
    CHECK(part.token_ids ==
          std::vector<TokenId>(all.token_ids.begin(), all.token_ids.begin() + limit));
  }
  CHECK(run(*engine, request(prompt_of(20, 1), 0)).token_ids.empty());
  CHECK(run(*engine, request(prompt_of(20, 1), 40, 2)).token_ids != all.token_ids);
  // Another block follows from the text so far, not from the canvas before it.
  std::vector<TokenId> longer = prompt_of(20, 1);
  longer.insert(longer.end(), all.token_ids.begin(), all.token_ids.begin() + kCanvas);
  CHECK(run(*engine, request(longer, 40)).prompt_tokens == 36);
}

TEST_CASE("a stop id inside a block cuts it there") {
  const auto engine = Engine::load(options());
  GenerationRequest r = request(prompt_of(20, 1), 48);
  const GenerationResult all = run(*engine, r);
  r.ignore_eos = false;
  for (const size_t at : {0, 5, 16, 21}) {
    CAPTURE(at);
    r.stop_ids = {all.token_ids[at]};
    const auto first = std::find(all.token_ids.begin(), all.token_ids.end(), all.token_ids[at]);
    const GenerationResult stopped = run(*engine, r);
    CHECK(stopped.finish_reason == FinishReason::kStop);
    CHECK(stopped.token_ids == std::vector<TokenId>(all.token_ids.begin(), first));
    CHECK(stopped.completion_tokens == static_cast<int64_t>(stopped.token_ids.size()) + 1);
  }
}

TEST_CASE("a batch of unequal prompts gives the answers of single runs") {
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 7; ++i) {
    requests.push_back(request(prompt_of(3 + static_cast<int>(i * 13 % 61), i), 20 + 5 * i, i));
  }
  const auto single = Engine::load(options());
  for (const int64_t sequences : {7, 3}) {
    const auto batched = Engine::load(options(sequences));
    const auto results = batched->generate(requests, {});
    for (size_t i = 0; i < requests.size(); ++i) {
      CAPTURE(i);
      CHECK(results[i].token_ids == run(*single, requests[i]).token_ids);
    }
  }
}

TEST_CASE("the ring at its smallest gives what a large one gives, far past the window") {
  const auto small = Engine::load(options(1, 8));
  const auto large = Engine::load(options(1, 512));
  const GenerationRequest r = request(prompt_of(200, 3), 64);
  CHECK(run(*small, r).token_ids == run(*large, r).token_ids);
}

TEST_CASE("the context ends an answer, in a shorter canvas where a whole one does not fit") {
  const auto engine = Engine::load(options(1, 32, 60));
  const GenerationResult result = run(*engine, request(prompt_of(20, 1), -1));
  CHECK(result.finish_reason == FinishReason::kLength);
  CHECK(result.token_ids.size() == 40);  // blocks of 16, 16 and 8
  CHECK(run(*engine, request(prompt_of(60, 1), -1)).token_ids.empty());
  CHECK_THROWS_AS(run(*engine, request(prompt_of(61, 1), -1)), Error);
}

TEST_CASE("a session on a diffusion model reuses what it has, and gives what a fresh run gives") {
  const auto engine = Engine::load(options(2, 16));
  const auto session = engine->open_session();
  const auto ask = [&](const std::vector<TokenId>& prompt, int64_t expected_reuse) {
    GenerationRequest r = request(prompt, 40);
    const GenerationResult fresh = run(*engine, r);
    r.session = session.get();
    const GenerationResult result = run(*engine, r);
    CHECK(result.token_ids == fresh.token_ids);
    CHECK(result.cached_tokens == expected_reuse);
    return result.token_ids;
  };
  const std::vector<TokenId> turn1 = prompt_of(50, 1);
  const std::vector<TokenId> answer = ask(turn1, 0);
  std::vector<TokenId> turn2 = turn1;
  turn2.insert(turn2.end(), answer.begin(), answer.end());
  const std::vector<TokenId> more = prompt_of(20, 2);
  turn2.insert(turn2.end(), more.begin(), more.end());
  ask(turn2, 50 + 2 * kCanvas);  // the last block was never needed as context
  // Undo: back to the end of the first prompt, across rings and canvases.
  std::vector<TokenId> other = turn1;
  const std::vector<TokenId> question = prompt_of(30, 3);
  other.insert(other.end(), question.begin(), question.end());
  ask(other, 50);
}

TEST_CASE("a picture in the prompt is encoded once, whole in any chunk, and kept by a session") {
  // Any tower of this patch size takes the picture as the prompt's tools prepare it.
  const PromptTools tools = load_prompt_tools(golden_dir("vision-31b"));
  const SafetensorsFile file(golden_dir("vision-31b") / "goldens.safetensors");
  const std::string picture = (golden_dir("vision-31b") / "img0.png").string();
  const std::vector<MediaAttachment> attached = {{MediaKind::kImage, MediaSource::open(picture)}};
  const MediaPrompt prompt = fill_media(tools, ids_of(file, "prompt0.input_ids"), attached, {});
  REQUIRE(prompt.spans.size() == 1);
  GenerationRequest r = request(prompt.ids, 24);
  const GenerationRequest blind = r;
  r.media = prompt.spans;
  const auto load_with = [](int64_t chunk, const char* rule) {
    EngineOptions o = options(2, chunk);
    o.media.image_tokens = 280;
    if (rule != nullptr) set_model_option(o.model_options, rule);
    return Engine::load(o);
  };
  const auto engine = load_with(64, nullptr);
  const GenerationResult seen = run(*engine, r);
  CHECK(seen.token_ids.size() == 24);
  CHECK(seen.media_tokens == prompt.spans[0].input->soft_tokens);
  CHECK(engine->encoded_media() == 1);
  CHECK(seen.token_ids != run(*engine, blind).token_ids);
  const auto session = engine->open_session();
  r.session = session.get();
  CHECK(run(*engine, r).token_ids == seen.token_ids);
  const GenerationResult again = run(*engine, r);
  CHECK(again.token_ids == seen.token_ids);
  CHECK(again.cached_tokens == again.prompt_tokens);
  CHECK(engine->encoded_media() == 1);
  r.session = nullptr;
  for (const int64_t chunk : {7, 200}) {
    CHECK(run(*load_with(chunk, nullptr), r).token_ids == seen.token_ids);
  }
  // Ruling 7: on all layers, unless said otherwise.
  CHECK(run(*load_with(64, "image_mask_rule=all_layers"), r).token_ids == seen.token_ids);
  CHECK(run(*load_with(64, "image_mask_rule=sliding"), r).token_ids != seen.token_ids);
}

TEST_CASE("greedy candidates are the likeliest tokens: another answer, and a repeatable one") {
  const auto engine = Engine::load(options());
  GenerationRequest r = request(prompt_of(20, 1), 32);
  const GenerationResult drawn = run(*engine, r);
  r.sampling.temperature = 0.0f;
  const GenerationResult greedy = run(*engine, r);
  CHECK(greedy.token_ids == run(*engine, r).token_ids);
  CHECK(greedy.token_ids != drawn.token_ids);
}

TEST_CASE("a canvas is shown after every step, and is the block when it is settled") {
  const auto engine = Engine::load(options());
  std::vector<TokenId> blocks;
  int64_t steps = 0;
  GenerationCallbacks callbacks;
  callbacks.on_canvas = [&](size_t index, std::span<const TokenId> canvas, bool settled) {
    CHECK(index == 0);
    CHECK(canvas.size() == static_cast<size_t>(kCanvas));
    ++steps;
    if (settled) blocks.insert(blocks.end(), canvas.begin(), canvas.end());
  };
  const GenerationRequest r = request(prompt_of(20, 1), 32);
  const GenerationResult result = engine->generate({&r, 1}, callbacks).at(0);
  CHECK(blocks == result.token_ids);
  CHECK(steps == result.denoising_steps);
}

TEST_CASE("a diffusion answer can be interrupted between steps") {
  const auto engine = Engine::load(options());
  int steps = 0;
  GenerationCallbacks callbacks;
  callbacks.on_canvas = [&](size_t, std::span<const TokenId>, bool) { ++steps; };
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    if (steps < 3) return std::nullopt;
    return FinishReason::kInterrupted;
  };
  const GenerationRequest r = request(prompt_of(20, 1), 64);
  CHECK(engine->generate({&r, 1}, callbacks).at(0).finish_reason == FinishReason::kInterrupted);
  CHECK(steps == 3);
  CHECK(run(*engine, r).token_ids.size() == 64);
}

TEST_CASE("what a diffusion model cannot do is refused before any work") {
  const auto engine = Engine::load(options());
  GenerationRequest r = request(prompt_of(20, 1), 8);
  r.logprobs = 1;
  CHECK_THROWS_AS(run(*engine, r), Error);
  r.logprobs.reset();
  r.prompt_logprobs = 1;
  CHECK_THROWS_AS(run(*engine, r), Error);
}

TEST_CASE("the sliding context of canvases is an option, of diffusion models only") {
  EngineOptions o = options();
  set_model_option(o.model_options, "diffusion_sliding_context=10");
  const GenerationRequest r = request(prompt_of(60, 1), 16);
  const auto wide = Engine::load(o);
  set_model_option(o.model_options, "diffusion_sliding_context=9");
  const auto narrow = Engine::load(o);
  const auto plain = Engine::load(options());
  CHECK(run(*narrow, r).token_ids == run(*plain, r).token_ids);
  CHECK(run(*wide, r).token_ids != run(*plain, r).token_ids);
  set_model_option(o.model_options, "diffusion_sliding_context=11");
  CHECK_THROWS_AS(Engine::load(o), Error);
  o.directory = golden_dir("text-moe");
  CHECK_THROWS_AS(Engine::load(o), Error);
  CHECK_THROWS_AS(set_model_option(o.model_options, "diffusion_sliding_context=0"), Error);
  CHECK_THROWS_AS(set_model_option(o.model_options, "diffusion_sliding_context"), Error);
  CHECK_THROWS_AS(set_model_option(o.model_options, "frobnicate=1"), Error);
}

TEST_CASE("memory is planned for a canvas a sequence, and logits of a few rows in all") {
  const auto scratch = [](int64_t sequences) {
    return plan_memory(options(sequences), 100).scratch;
  };
  CHECK(scratch(2) > scratch(1));
  // Each further sequence costs its canvas rows; the vocabulary does not come into it.
  CHECK(scratch(9) - scratch(8) == scratch(2) - scratch(1));
  const uint64_t activations = 16 * 64 * sizeof(float) * 20;
  CHECK(scratch(2) - scratch(1) < activations);
}

}  // namespace gemma4
