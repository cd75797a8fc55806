// What drafts save on a model of E2B's shape with random weights, when 70 % of them are right.
// Minutes of work and gigabytes of memory: runs only with GEMMA4_MEASURE set.
#include <doctest/doctest.h>

#include <cstdlib>

#include "lib/base/parallel.h"
#include "lib/model/random_tensors.h"
#include "tests/runtime/runner_fixture.h"

namespace gemma4 {

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
  int64_t steps = 0;
  GenerationCallbacks callbacks;
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    ++steps;
    return std::nullopt;
  };
  const std::vector<GenerationRequest> request = {greedy_request(prompt_of(16, 1), 61)};
  const auto run = [&](Speculation* speculation) {
    steps = -1;  // the first step is the prompt's
    return BatchRunner({*ops, decoder, cache, config, nullptr, 256, 32, media,
                        ImageMaskRule::kSliding, speculation},
                       request, callbacks)
        .run()
        .at(0);
  };
  const GenerationResult plain = run(nullptr);
  double best_share = 0.0;
  for (const std::optional<int64_t> k : {std::optional<int64_t>(2), std::optional<int64_t>(3),
                                         std::optional<int64_t>(4), std::optional<int64_t>()}) {
    const std::vector<ScriptedDraft::Script> script = {{request[0].prompt, plain.token_ids}};
    Speculation drafts = speculate(std::make_unique<ScriptedDraft>(script, 0.7), k);
    const GenerationResult drafted = run(&drafts);
    const double allowed =
        static_cast<double>(drafted.completion_tokens - 1) / static_cast<double>(steps);
    // The machine's speed drifts: plain runs before and after.
    const GenerationResult again = run(nullptr);
    const double speed_up = 0.5 * (plain.decode_ms + again.decode_ms) / drafted.decode_ms;
    CHECK(drafted.token_ids == plain.token_ids);
    MESSAGE("drafts " << (k ? std::to_string(*k) : "auto") << ": plain " << plain.decode_ms
                      << " and " << again.decode_ms << " ms, drafted " << drafted.decode_ms
                      << " ms, speed-up " << speed_up
                      << " (told: " << drafted.drafts.plain_ms / drafted.decode_ms << "), allowed "
                      << allowed << ", share " << speed_up / allowed);
    best_share = std::max(best_share, speed_up / allowed);
  }
  CHECK(best_share >= 0.85);
}

}  // namespace gemma4
