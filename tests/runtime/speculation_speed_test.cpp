// What drafts save on a model of E2B's shape with random weights, when 70 % of them are right.
// On all cores, medians of alternating runs; wants a quiet machine and gigabytes of memory, so it
// runs only with GEMMA4_MEASURE set.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lib/base/parallel.h"
#include "lib/model/random_tensors.h"
#include "tests/runtime/runner_fixture.h"

namespace gemma4 {

namespace {

double now_ms() {
  return std::chrono::duration<double, std::milli>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

TEST_CASE("drafts that are right 70 % of the time save 85 % of what their acceptance allows") {
  if (std::getenv("GEMMA4_MEASURE") == nullptr) {
    MESSAGE("SKIPPED: needs GEMMA4_MEASURE=1");
    return;
  }
  set_num_threads(physical_cores());
  const auto ops = make_backend("cpu", {});
  const ModelConfig config = parse_model_config(
      read_json_file(source_dir() / "share/models/e2b.json", ErrorKind::kModel), Json::object());
  RandomTensors source(*ops);
  TextDecoder decoder(*ops, config.text, load_text_weights(source, config.text, *ops, {}, {}), 64);
  KvCache cache(*ops, config.text, {Dtype::kBf16, 1, 256, 32});
  MediaEncodings media([] { return MediaEncoders(); });
  const std::vector<GenerationRequest> request = {greedy_request(prompt_of(16, 1), 31)};
  int64_t steps = 0;
  double first_ms = 0.0, last_ms = 0.0;  // when those tokens came
  GenerationCallbacks callbacks;
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    ++steps;
    return std::nullopt;
  };
  callbacks.on_token = [&](size_t, TokenId) {
    last_ms = now_ms();
    if (steps == 0) first_ms = last_ms;
  };
  const auto run = [&](Speculation* speculation) {
    steps = -1;  // the first step is the prompt's
    return BatchRunner({*ops, decoder, cache, config, nullptr, 256, 32, media,
                        ImageMaskRule::kSliding, speculation},
                       request, callbacks)
        .run()
        .at(0);
  };
  const GenerationResult plain = run(nullptr);
  const std::vector<ScriptedDraft::Script> script = {{request[0].prompt, plain.token_ids}};
  double best_share = 0.0;
  for (const int64_t k : {3, 4}) {
    std::vector<double> speed_ups;
    double allowed = 0.0;
    for (int repetition = 0; repetition < 5; ++repetition) {
      run(nullptr);
      const double plain_ms = last_ms - first_ms;
      Speculation drafts = speculate(std::make_unique<ScriptedDraft>(script, 0.7), k);
      const GenerationResult drafted = run(&drafts);
      CHECK(drafted.token_ids == plain.token_ids);
      allowed = static_cast<double>(drafted.completion_tokens - 1) / static_cast<double>(steps);
      speed_ups.push_back(plain_ms / (last_ms - first_ms));
    }
    const double share = median(speed_ups) / allowed;
    std::printf("drafts %d: speed-up %.2f of %.2f allowed: %.0f %%\n", static_cast<int>(k),
                median(speed_ups), allowed, 100.0 * share);
    std::fflush(stdout);
    best_share = std::max(best_share, share);
  }
  CHECK(best_share >= 0.85);
}

}  // namespace gemma4
