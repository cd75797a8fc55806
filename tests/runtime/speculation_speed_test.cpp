// What drafts save on a model of E2B's shape with random weights, when 70 % of them are right.
// In processor time of one thread, so that other work on the machine counts little. Gigabytes of
// memory: runs only with GEMMA4_MEASURE set.
#include <doctest/doctest.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "lib/base/parallel.h"
#include "lib/model/random_tensors.h"
#include "tests/runtime/runner_fixture.h"

namespace gemma4 {

namespace {

double processor_ms() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

}  // namespace

TEST_CASE("drafts that are right 70 % of the time save 85 % of what their acceptance allows") {
  if (std::getenv("GEMMA4_MEASURE") == nullptr) {
    MESSAGE("SKIPPED: needs GEMMA4_MEASURE=1");
    return;
  }
  set_num_threads(1);
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
    last_ms = processor_ms();
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
  const double plain_ms = last_ms - first_ms;
  double best_share = 0.0;
  for (const int64_t k : {3, 4}) {
    const std::vector<ScriptedDraft::Script> script = {{request[0].prompt, plain.token_ids}};
    Speculation drafts = speculate(std::make_unique<ScriptedDraft>(script, 0.7), k);
    const GenerationResult drafted = run(&drafts);
    const double allowed =
        static_cast<double>(drafted.completion_tokens - 1) / static_cast<double>(steps);
    const double speed_up = plain_ms / (last_ms - first_ms);
    CHECK(drafted.token_ids == plain.token_ids);
    std::printf("drafts %d: %.1f ms a token without, speed-up %.2f of %.2f allowed: %.0f %%\n",
                static_cast<int>(k), plain_ms / 30.0, speed_up, allowed,
                100.0 * speed_up / allowed);
    std::fflush(stdout);
    best_share = std::max(best_share, speed_up / allowed);
  }
  CHECK(best_share >= 0.85);
}

}  // namespace gemma4
