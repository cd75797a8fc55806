// The engine on golden checkpoints: batches, sessions, contexts far past the window.
#include "lib/runtime/engine.h"

#include <doctest/doctest.h>

#include <cstring>

#include "lib/base/error.h"
#include "tests/support/golden_files.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

std::unique_ptr<Engine> load(const std::string& golden, int64_t sequences = 1, int64_t chunk = 32,
                             int64_t context = 0, const std::string& device = "cpu",
                             Dtype kv_cache_dtype = Dtype::kF32) {
  EngineOptions options;
  options.directory = golden_dir(golden);
  options.device = device;
  options.kv_cache_dtype = kv_cache_dtype;
  options.exact_activations = true;
  options.max_sequences = sequences;
  options.max_chunk = chunk;
  options.context = context;
  return Engine::load(options);
}

GenerationRequest greedy(std::vector<TokenId> prompt, int64_t max_tokens) {
  GenerationRequest request;
  request.prompt = std::move(prompt);
  request.sampling.temperature = 0.0f;
  request.max_tokens = max_tokens;
  request.ignore_eos = true;
  return request;
}

GenerationResult run(Engine& engine, const GenerationRequest& request) {
  return engine.generate({&request, 1}, {}).at(0);
}

// A prompt of `length` ids that no other seed shares.
std::vector<TokenId> made_up_prompt(int length, uint32_t seed) {
  std::vector<TokenId> ids = {2};
  uint32_t state = seed * 2654435761u + 1;
  while (static_cast<int>(ids.size()) < length) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<TokenId>(110 + (state >> 16) % 95));
  }
  return ids;
}

}  // namespace

TEST_CASE("the engine continues a golden prompt as the official implementation does") {
  for (const char* golden : {"text-e", "text-31b", "text-moe"}) {
    const auto engine = load(golden);
    const SafetensorsFile file(golden_dir(golden) / "goldens.safetensors");
    const GenerationResult result = run(*engine, greedy(ids_of(file, "input_ids"), 32));
    CHECK(result.token_ids == ids_of(file, "greedy_tokens"));
    CHECK(result.finish_reason == FinishReason::kLength);
    CHECK(result.prompt_tokens == static_cast<int64_t>(ids_of(file, "input_ids").size()));
    CHECK(result.completion_tokens == 32);
    CHECK(result.ttft_ms > 0.0);
  }
}

TEST_CASE("a batch of 16 unequal prompts gives the tokens of 16 single runs") {
  for (const char* golden : {"text-e", "text-31b", "text-moe"}) {
    CAPTURE(golden);
    std::vector<GenerationRequest> requests;
    for (uint32_t i = 0; i < 16; ++i) {
      requests.push_back(greedy(made_up_prompt(3 + static_cast<int>(i * 7 % 61), i), 24));
    }
    const auto single = load(golden);
    // 16 at a time, and 5 at a time so that requests wait for a sequence.
    for (const int64_t sequences : {16, 5}) {
      const auto batched = load(golden, sequences);
      const auto results = batched->generate(requests, {});
      for (size_t i = 0; i < requests.size(); ++i) {
        CAPTURE(i);
        CHECK(results[i].token_ids == run(*single, requests[i]).token_ids);
      }
    }
  }
}

TEST_CASE("sampling depends on the seed and not on the company") {
  const auto engine = load("text-e", 4);
  std::vector<GenerationRequest> requests;
  for (uint32_t i = 0; i < 4; ++i) {
    GenerationRequest request = greedy(made_up_prompt(12, 5), 20);
    request.sampling.temperature = 1.5f;
    request.seed = i / 2;
    requests.push_back(request);
  }
  const auto results = engine->generate(requests, {});
  CHECK(results[0].token_ids == results[1].token_ids);
  CHECK(results[2].token_ids == results[3].token_ids);
  CHECK(results[0].token_ids != results[2].token_ids);
  CHECK(run(*engine, requests[3]).token_ids == results[2].token_ids);
}

TEST_CASE("a context far past the window matches a recomputation without a cache") {
  // The cacheless side scores prompt + answer in one go, with a fresh cache and one big chunk.
  for (const char* golden : {"text-e", "text-e-causal", "text-31b", "text-moe"}) {
    CAPTURE(golden);
    const auto engine = load(golden, 1, 24);
    const std::vector<TokenId> prompt = made_up_prompt(300, 9);
    GenerationRequest request = greedy(prompt, 60);
    request.logprobs = 0;
    const GenerationResult grown = run(*engine, request);

    std::vector<TokenId> all = prompt;
    all.insert(all.end(), grown.token_ids.begin(), grown.token_ids.end());
    const auto whole = load(golden, 1, 512);
    GenerationRequest scoring = greedy(all, 0);
    scoring.prompt_logprobs = 1;
    const GenerationResult scored = run(*whole, scoring);
    REQUIRE(scored.prompt_logprobs.size() == all.size());
    CHECK_FALSE(scored.prompt_logprobs[0].has_value());
    for (size_t i = 0; i < grown.token_ids.size(); ++i) {
      const TokenLogprob& at = *scored.prompt_logprobs[prompt.size() + i];
      CHECK(at.top[0].id == grown.token_ids[i]);
      CHECK(at.token.logprob == doctest::Approx(grown.logprobs[i].token.logprob).epsilon(1e-3));
    }
  }
}

TEST_CASE("a session reuses what it has, and gives what a fresh run gives") {
  for (const char* golden : {"text-e", "text-31b"}) {
    CAPTURE(golden);
    const auto engine = load(golden, 2, 16);
    const auto session = engine->open_session();
    const auto ask = [&](const std::vector<TokenId>& prompt, int64_t expected_reuse) {
      GenerationRequest request = greedy(prompt, 150);  // far more than the ring keeps
      const GenerationResult fresh = run(*engine, request);
      request.session = session.get();
      const GenerationResult result = run(*engine, request);
      CHECK(result.token_ids == fresh.token_ids);
      CHECK(result.cached_tokens == expected_reuse);
      return result.token_ids;
    };
    std::vector<TokenId> turn1 = made_up_prompt(50, 1);
    const std::vector<TokenId> answer = ask(turn1, 0);
    // The next turn repeats all of the conversation: only the new part is computed.
    std::vector<TokenId> turn2 = turn1;
    turn2.insert(turn2.end(), answer.begin(), answer.end());
    const auto known = static_cast<int64_t>(turn2.size()) - 1;  // the last token was never fed
    const std::vector<TokenId> more = made_up_prompt(20, 2);
    turn2.insert(turn2.end(), more.begin(), more.end());
    ask(turn2, known);
    // Undo, then another question: back to the end of the first prompt, across the rings.
    std::vector<TokenId> other = turn1;
    const std::vector<TokenId> question = made_up_prompt(30, 3);
    other.insert(other.end(), question.begin(), question.end());
    ask(other, static_cast<int64_t>(turn1.size()));
    // The same prompt again: all but the last token is there, from the ring saved at its end.
    ask(other, static_cast<int64_t>(other.size()) - 1);
    // Another conversation altogether.
    ask(made_up_prompt(40, 4), 1);
  }
}

TEST_CASE("a session with quantised keys and values comes back to its saved ring") {
  for (const Dtype dtype : {Dtype::kI8, Dtype::kF8E4M3}) {
    const auto engine = load("text-e", 1, 16, 0, "cpu", dtype);
    const auto session = engine->open_session();
    const std::vector<TokenId> prompt = made_up_prompt(50, 1);
    GenerationRequest request = greedy(prompt, 150);  // far more than the ring keeps
    request.session = session.get();
    run(*engine, request);
    // All but the prompt's last token is there; from here on the same steps give the same tokens.
    const GenerationResult once = run(*engine, request);
    const GenerationResult again = run(*engine, request);
    CHECK(once.cached_tokens == 49);
    CHECK(again.cached_tokens == 49);
    CHECK(once.token_ids == again.token_ids);
  }
}

TEST_CASE("stop ids, the token limit and the context end an answer") {
  const auto engine = load("text-e", 1, 32, 64);
  const std::vector<TokenId> prompt = made_up_prompt(20, 1);
  const GenerationResult full = run(*engine, greedy(prompt, -1));
  CHECK(full.finish_reason == FinishReason::kLength);
  CHECK(full.prompt_tokens + full.completion_tokens == 64);

  GenerationRequest request = greedy(prompt, -1);
  request.ignore_eos = false;
  request.stop_ids = {full.token_ids[5]};
  const GenerationResult stopped = run(*engine, request);
  CHECK(stopped.finish_reason == FinishReason::kStop);
  const auto first = std::find(full.token_ids.begin(), full.token_ids.end(), full.token_ids[5]);
  CHECK(stopped.token_ids == std::vector<TokenId>(full.token_ids.begin(), first));
  CHECK(stopped.completion_tokens == static_cast<int64_t>(stopped.token_ids.size()) + 1);

  request.ignore_eos = true;
  CHECK(run(*engine, request).token_ids == full.token_ids);
}

TEST_CASE("an answer can be interrupted, and keeps what it has") {
  const auto engine = load("text-e", 2);
  int tokens = 0;
  GenerationCallbacks callbacks;
  callbacks.on_token = [&](size_t, TokenId) { ++tokens; };
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    if (tokens < 7) return std::nullopt;
    return FinishReason::kInterrupted;
  };
  const std::vector<GenerationRequest> requests(3, greedy(made_up_prompt(5, 1), 100));
  const auto results = engine->generate(requests, callbacks);
  for (const GenerationResult& result : results) {
    CHECK(result.finish_reason == FinishReason::kInterrupted);
  }
  CHECK(results[0].token_ids.size() >= 3);
  CHECK(results[2].token_ids.empty());
  // The engine lives on.
  CHECK(run(*engine, requests[0]).token_ids.size() == 100);
}

TEST_CASE("prompts that cannot run are refused before any work") {
  const auto engine = load("text-e", 1, 32, 64);
  const auto kind_of = [&](const GenerationRequest& request) {
    try {
      run(*engine, request);
    } catch (const Error& error) {
      return error.exit_code();
    }
    return 0;
  };
  CHECK(kind_of(greedy({}, 1)) == 2);
  CHECK(kind_of(greedy(made_up_prompt(65, 1), 1)) == 4);
  CHECK(kind_of(greedy(made_up_prompt(64, 1), 1)) == 0);
  CHECK(kind_of(greedy({2, 512}, 1)) == 4);
  CHECK(kind_of(greedy({2, -1}, 1)) == 4);
}

TEST_CASE("repetition, presence and frequency penalties change what is chosen") {
  const auto engine = load("text-e");
  const std::vector<TokenId> prompt = made_up_prompt(30, 7);
  const GenerationResult plain = run(*engine, greedy(prompt, 60));
  GenerationRequest request = greedy(prompt, 60);
  request.sampling.frequency_penalty = 100.0f;
  const GenerationResult penalised = run(*engine, request);
  const auto distinct = [](std::vector<TokenId> ids) {
    std::sort(ids.begin(), ids.end());
    return std::unique(ids.begin(), ids.end()) - ids.begin();
  };
  CHECK(distinct(plain.token_ids) < 60);
  CHECK(distinct(penalised.token_ids) == 60);
}

}  // namespace gemma4
