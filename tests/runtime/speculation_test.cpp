// Speculative decoding changes how fast answers come, and nothing else.
#include "lib/runtime/speculation.h"

#include <doctest/doctest.h>

#include "lib/runtime/constraints.h"
#include "lib/runtime/model_draft.h"
#include "lib/runtime/ngram_draft.h"
#include "tests/runtime/runner_fixture.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tensor_compare.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

const std::vector<std::string> kFamilies = {"text-e", "text-e-f32", "text-e-causal", "text-31b",
                                            "text-moe"};

using Scripts = std::vector<ScriptedDraft::Script>;

// Rings of these models have 64 slots, so that prompts and answers of these lengths wrap them.
std::vector<GenerationRequest> long_requests(int64_t count) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < count; ++i) {
    const auto seed = static_cast<uint32_t>(i);
    requests.push_back(greedy_request(prompt_of(20 + static_cast<int>(i * 9), seed), 64));
  }
  return requests;
}

Scripts scripts_of(const std::vector<GenerationRequest>& requests,
                   const std::vector<GenerationResult>& results) {
  Scripts scripts;
  for (size_t i = 0; i < requests.size(); ++i) {
    scripts.push_back({requests[i].prompt, results[i].token_ids});
  }
  return scripts;
}

void check_same(const std::vector<GenerationResult>& got,
                const std::vector<GenerationResult>& expected) {
  REQUIRE(got.size() == expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    CAPTURE(i);
    CHECK(got[i].token_ids == expected[i].token_ids);
    CHECK(got[i].finish_reason == expected[i].finish_reason);
    CHECK(got[i].completion_tokens == expected[i].completion_tokens);
    CHECK(got[i].output.content == expected[i].output.content);
    CHECK(got[i].complete == expected[i].complete);
  }
}

int64_t accepted_of(const std::vector<GenerationResult>& results) {
  int64_t sum = 0;
  for (const GenerationResult& result : results) sum += result.drafts.total_accepted();
  return sum;
}

}  // namespace

TEST_CASE("greedy answers with 1 to 8 drafts are those without, on every text family") {
  for (const std::string& family : kFamilies) {
    for (const int64_t batch : {1, 8}) {
      CAPTURE(family);
      CAPTURE(batch);
      RunnerFixture runner(golden_dir(family), batch);
      const SafetensorsFile file(golden_dir(family) / "goldens.safetensors");
      std::vector<GenerationRequest> requests = long_requests(batch);
      requests.push_back(greedy_request(ids_of(file, "input_ids"), 32));
      const auto plain = runner.run(requests);
      CHECK(plain.back().token_ids == ids_of(file, "greedy_tokens"));
      for (int64_t k = 1; k <= kMaxDraftTokens; ++k) {
        CAPTURE(k);
        Speculation scripted =
            speculate(std::make_unique<ScriptedDraft>(scripts_of(requests, plain), 0.7), k);
        const auto drafted = runner.run(requests, &scripted);
        check_same(drafted, plain);
        CHECK(accepted_of(drafted) > 0);
      }
      Speculation adaptive =
          speculate(std::make_unique<ScriptedDraft>(scripts_of(requests, plain), 0.7), {});
      check_same(runner.run(requests, &adaptive), plain);
      Speculation looked_up = speculate(std::make_unique<NgramDraft>(), 5);
      check_same(runner.run(requests, &looked_up), plain);
    }
  }
}

TEST_CASE("greedy answers with drafts and keys and values in bf16 are those without") {
  for (const std::string& family : kFamilies) {
    CAPTURE(family);
    RunnerFixture runner(golden_dir(family), 1, Dtype::kBf16);
    const std::vector<GenerationRequest> requests = long_requests(2);
    const auto plain = runner.run(requests);
    for (int64_t k = 1; k <= kMaxDraftTokens; ++k) {
      CAPTURE(k);
      Speculation scripted =
          speculate(std::make_unique<ScriptedDraft>(scripts_of(requests, plain), 0.7), k);
      check_same(runner.run(requests, &scripted), plain);
    }
  }
}

TEST_CASE("with an assistant the golden models answer as they do alone") {
  for (const std::string& device : built_backends()) {
    for (const char* pair : {"mtp-e", "mtp-31b"}) {
      CAPTURE(device);
      CAPTURE(pair);
      RunnerFixture runner(golden_dir(pair) / "target", 2, Dtype::kF32, device);
      const SafetensorsFile file(golden_dir(pair) / "goldens.safetensors");
      // Two at a time, one of them far past the window and round the ring.
      const std::vector<GenerationRequest> requests = {
          greedy_request(ids_of(file, "input_ids"), 40), greedy_request(prompt_of(60, 3), 60)};
      const auto plain = runner.run(requests);
      CHECK(plain[0].token_ids == ids_of(file, "assisted_tokens"));
      for (const int32_t offset : {-1, 0}) {
        for (int64_t k = 1; k <= kMaxDraftTokens; ++k) {
          CAPTURE(k);
          Speculation speculation = speculate(
              std::make_unique<ModelDraft>(golden_dir(pair) / "assistant", *runner.model().ops,
                                           *runner.model().decoder, runner.cache(), offset, 2),
              k);
          const auto drafted = runner.run(requests, &speculation);
          check_same(drafted, plain);
          CHECK(drafted[0].drafts.total_accepted() > 0);
        }
      }
    }
  }
}

TEST_CASE("the same seed draws the same tokens with drafts as without") {
  RunnerFixture runner(golden_dir("text-e"), 3);
  std::vector<GenerationRequest> requests = long_requests(5);
  for (size_t i = 0; i < requests.size(); ++i) {
    requests[i].seed = i;
    requests[i].logprobs = 2;
    SamplingParams& how = requests[i].sampling;
    how.temperature = 1.2f;
    if (i % 2 == 1) how.top_k = 20;
    if (i == 2) how.top_p = 0.8f;
    if (i == 3) how.min_p = 0.05f;
    if (i == 4) {
      how.repetition_penalty = 1.3f;
      how.presence_penalty = 0.5f;
      how.frequency_penalty = 0.5f;
    }
  }
  const auto plain = runner.run(requests);
  for (const int64_t k : {1, 3, 8}) {
    CAPTURE(k);
    Speculation scripted =
        speculate(std::make_unique<ScriptedDraft>(scripts_of(requests, plain), 0.8), k);
    const auto drafted = runner.run(requests, &scripted);
    check_same(drafted, plain);
    for (size_t i = 0; i < requests.size(); ++i) {
      REQUIRE(drafted[i].logprobs.size() == plain[i].logprobs.size());
      for (size_t t = 0; t < plain[i].logprobs.size(); ++t) {
        const TokenLogprob& got = drafted[i].logprobs[t];
        const TokenLogprob& expected = plain[i].logprobs[t];
        CHECK(got.token.id == expected.token.id);
        CHECK(got.top[0].id == expected.top[0].id);
        CHECK(got.token.logprob == doctest::Approx(expected.token.logprob).epsilon(1e-3));
      }
    }
  }
}

TEST_CASE("limits, stop ids and the end of the context fall on the same token with drafts") {
  RunnerFixture runner(golden_dir("text-31b"), 1, Dtype::kF32, "cpu", 64);
  const auto answer = runner.run(std::vector{greedy_request(prompt_of(30, 1), -1)});
  CHECK(answer[0].completion_tokens == 34);
  std::vector<GenerationRequest> requests = {greedy_request(prompt_of(30, 1), -1)};
  for (const int64_t tokens : {0, 1, 2, 3, 7}) {
    requests.push_back(greedy_request(prompt_of(30, 1), tokens));
  }
  for (const size_t at : {1, 4, 5, 6, 12}) {
    requests.push_back(greedy_request(prompt_of(30, 1), -1));
    requests.back().ignore_eos = false;
    requests.back().stop_ids = {answer[0].token_ids[at]};
  }
  const auto plain = runner.run(requests);
  for (const int64_t k : {1, 2, 5, 8}) {
    for (const double agreement : {1.0, 0.5}) {
      CAPTURE(k);
      const Scripts script = {{requests[0].prompt, answer[0].token_ids}};
      Speculation scripted = speculate(std::make_unique<ScriptedDraft>(script, agreement), k);
      check_same(runner.run(requests, &scripted), plain);
    }
  }
}

TEST_CASE("a session keeps with drafts what it keeps without") {
  for (const char* family : {"text-e", "text-31b"}) {
    CAPTURE(family);
    RunnerFixture runner(golden_dir(family), 2);
    const auto talk = [&](Speculation* speculation) {
      const auto session = runner.open_session();
      std::vector<GenerationResult> results;
      std::vector<TokenId> text = prompt_of(40, 1);
      const auto ask = [&](std::vector<TokenId> prompt) {
        GenerationRequest request = greedy_request(std::move(prompt), 70);
        request.session = session.get();
        results.push_back(runner.run({&request, 1}, speculation).at(0));
      };
      ask(text);
      const std::vector<TokenId> more = prompt_of(15, 2);
      const std::vector<TokenId>& answer = results[0].token_ids;
      std::vector<TokenId> turn = text;
      turn.insert(turn.end(), answer.begin(), answer.end());
      turn.insert(turn.end(), more.begin(), more.end());
      ask(turn);
      text.insert(text.end(), more.begin(), more.end());  // undo, and another question
      ask(text);
      return results;
    };
    const auto plain = talk(nullptr);
    Scripts scripts = {{prompt_of(40, 1), plain[0].token_ids}};
    Speculation scripted = speculate(std::make_unique<ScriptedDraft>(scripts, 0.7), 5);
    Speculation looked_up = speculate(std::make_unique<NgramDraft>(), 8);
    for (Speculation* speculation : {&scripted, &looked_up}) {
      const auto drafted = talk(speculation);
      check_same(drafted, plain);
      for (size_t i = 0; i < plain.size(); ++i) {
        CHECK(drafted[i].cached_tokens == plain[i].cached_tokens);
      }
    }
  }
}

TEST_CASE("constrained answers and stop texts are the same with drafts") {
  const ScratchDir dir;
  write_tiny_tokenizer(dir.path(), {.unused_tokens = 512 - 24 - 256 - 30 - 94 - 8});
  const auto tokenizer = Tokenizer::load(dir.path());
  RunnerFixture runner(golden_dir("text-e"), 2);
  REQUIRE(tokenizer->vocab_size() == runner.model().config.text.vocab_size);
  runner.tokenizer = tokenizer.get();
  const auto make_requests = [&] {
    ConstraintMaker maker(*tokenizer, {1, 106});
    std::vector<OutputFormat> formats(4);
    formats[0].kind = OutputFormat::Kind::kJsonObject;
    formats[1].kind = OutputFormat::Kind::kRegex;
    formats[1].text = "(yes|no|perhaps not today), said the (fox|hen)\\. [a-z]{5,40}";
    formats[2].kind = OutputFormat::Kind::kJsonSchema;
    formats[2].schema =
        Json::parse(R"({"type":"object","properties":{"name":{"type":"string","maxLength":9},)"
                    R"("size":{"enum":["small","medium","enormous"]},"n":{"type":"integer"}},)"
                    R"("required":["name","size","n"],"additionalProperties":false})");
    std::vector<GenerationRequest> requests;
    for (uint32_t i = 0; i < 8; ++i) {
      GenerationRequest request = greedy_request(prompt_of(30, i % 4), 80);
      request.ignore_eos = false;
      request.stop_ids = {1, 106};
      request.sampling.temperature = i < 4 ? 0.0f : 1.5f;
      request.seed = i;
      request.constraint = maker.make(formats[i % 4]);
      if (i % 4 == 3) request.stop = {"e", "3", "th"};
      requests.push_back(std::move(request));
    }
    return requests;
  };
  const std::vector<GenerationRequest> first = make_requests();
  const auto plain = runner.run(first);
  // The scripts tell requests by their prompts, so each half of the requests has its own.
  for (const size_t half : {0, 4}) {
    const std::vector<GenerationResult> expected(plain.begin() + static_cast<ptrdiff_t>(half),
                                                 plain.begin() + static_cast<ptrdiff_t>(half) + 4);
    for (const int64_t k : {1, 4, 8}) {
      CAPTURE(k);
      const std::vector<GenerationRequest> all = make_requests();
      const std::vector<GenerationRequest> requests(all.begin() + static_cast<ptrdiff_t>(half),
                                                    all.begin() + static_cast<ptrdiff_t>(half) + 4);
      Speculation scripted =
          speculate(std::make_unique<ScriptedDraft>(scripts_of(requests, expected), 0.8), k);
      const auto drafted = runner.run(requests, &scripted);
      check_same(drafted, expected);
      CHECK(accepted_of(drafted) > 0);
    }
  }
}

TEST_CASE("look-up drafts what followed the longest match of the end of the text") {
  const std::vector<TokenId> text = {5, 6, 7, 8, 9, 1, 7, 8, 3, 4, 6, 7, 8};
  CHECK(look_up_continuation(text, 3) == std::vector<TokenId>{9, 1, 7});  // 6 7 8 beats 7 8
  CHECK(look_up_continuation(text, 1) == std::vector<TokenId>{9});
  CHECK(look_up_continuation(std::vector<TokenId>{1, 2, 3, 2}, 4)
            .empty());  // one token is not enough
  CHECK(look_up_continuation(std::vector<TokenId>{1, 2, 1, 2}, 4) == std::vector<TokenId>{1, 2});
  CHECK(look_up_continuation(std::vector<TokenId>{4, 4, 4}, 4) == std::vector<TokenId>{4});
  CHECK(look_up_continuation(std::vector<TokenId>{4}, 4).empty());
}

TEST_CASE("the number of drafts follows acceptance and cost") {
  const auto settle = [](double acceptance, double draft_ms) {
    DraftControl control({});
    DraftRates rates = control.recent();
    int64_t count = 0;
    for (int i = 0; i < 200; ++i) {
      control.begin_round(1);
      count = control.count(rates);
      int64_t accepted = 0;
      while (accepted < count && (i * 7919 + accepted * 104729) % 1000 < acceptance * 1000) {
        ++accepted;
      }
      control.learn(rates, count, accepted);
      control.time(1, count, 10.0 + draft_ms * static_cast<double>(count));
    }
    control.begin_round(1);
    return control.count(rates);
  };
  CHECK(settle(1.0, 0.5) == kMaxAdaptiveTokens);
  CHECK(settle(0.0, 0.5) == 0);
  CHECK(settle(0.5, 1.0) < settle(0.9, 1.0));
  CHECK(settle(0.8, 20.0) == 0);
  DraftControl fixed(4);
  fixed.begin_round(1);
  CHECK(fixed.count(fixed.recent()) == 0);  // the round that tells what drafts save
  fixed.time(1, 0, 10.0);
  fixed.begin_round(1);
  CHECK(fixed.count(fixed.recent()) == 4);
}

}  // namespace gemma4
