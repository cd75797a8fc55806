// What a benchmark counts, checked without trusting any clock.
#include <doctest/doctest.h>

#include <algorithm>

#include "lib/base/error.h"
#include "lib/runtime/bench_runner.h"
#include "lib/runtime/environment.h"
#include "lib/runtime/model_work.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

EngineOptions dummy(const std::string& golden) {
  EngineOptions options;
  options.dummy_preset = golden_dir(golden) / "config.json";
  options.device = "cpu";
  options.context = 200;
  options.max_sequences = 3;
  return options;
}

MachineLimits made_up_limits() {
  MachineLimits limits;
  limits.read_gb_per_s = measured({10.0});
  limits.matmul_gflop_per_s = {{TimedFormat::kBf16, measured({100.0})}};
  return limits;
}

std::optional<BenchCell> run(Engine& engine, const BenchCellSpec& spec,
                             const BenchHooks& hooks = {}, bool drafts = false) {
  return run_bench_cell(engine, made_up_limits(), spec, {1, 2, drafts, TimedFormat::kBf16}, hooks);
}

}  // namespace

TEST_CASE("percentiles are those of numpy") {
  const std::vector<double> values = {4.0, 1.0, 3.0, 2.0};
  CHECK(percentile(values, 0.5) == doctest::Approx(2.5));
  CHECK(percentile(values, 0.99) == doctest::Approx(3.97));
  CHECK(percentile(values, 0.0) == 1.0);
  CHECK(percentile(values, 1.0) == 4.0);
}

TEST_CASE("rates are averaged by their times, and runs without time are left out") {
  const std::vector<double> work = {100.0, 100.0, 100.0};
  const std::vector<double> seconds = {1.0, 4.0, 0.0};
  const Measured rate = measured_rate(work, seconds);
  CHECK(rate.values == std::vector<double>{100.0, 25.0});
  CHECK(*rate.mean == doctest::Approx(40.0));  // 200 in 5 s, not (100 + 25) / 2
  CHECK(*rate.p99 == doctest::Approx(25.75));  // the slow end
  CHECK_FALSE(measured_rate({}, {}).median.has_value());
}

TEST_CASE("workloads have their names' lengths, or those that are given") {
  CHECK(parse_workload("prompt-heavy").input == 8000);
  CHECK(parse_workload("prompt-heavy").output == 1000);
  CHECK(parse_workload("17/5").input == 17);
  CHECK(parse_workload("17/5").output == 5);
  for (const char* text : {"", "x", "17", "17/", "/5", "0/5", "17/0", "-1/5", "17/5/1", "17/5 ",
                           "99999999999999999999/1"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_workload(text), Error);
  }
}

TEST_CASE("a cell has one TTFT a request, and a gap for every token but the first") {
  const auto engine = Engine::load(dummy("text-e"));
  const BenchCellSpec spec{parse_workload("9/5"), 3, 0};
  const auto cell = run(*engine, spec);
  REQUIRE(cell.has_value());
  CHECK(cell->ttft_ms.values.size() == 6);  // 3 sequences, 2 counted runs
  CHECK_FALSE(cell->ttft_ms.p99.has_value());
  CHECK(cell->tpot_ms.values.size() == 6);
  CHECK(cell->itl_ms.values.size() == 24);
  CHECK(cell->itl_ms.p99.has_value());
  CHECK(cell->prefill_tokens_per_second.values.size() == 2);
  CHECK(cell->decode_tokens_per_second.values.size() == 2);
  for (const Measured* field :
       {&cell->ttft_ms, &cell->tpot_ms, &cell->itl_ms, &cell->prefill_tokens_per_second,
        &cell->decode_tokens_per_second, &cell->request_throughput, &cell->share_of_bandwidth,
        &cell->share_of_matmul, &cell->peak_rss_bytes, &cell->load_ms}) {
    REQUIRE(field->median.has_value());
    CHECK(*field->median > 0.0);
  }
  // 27 prompt tokens until the last of a run's 3 sequences has its first token.
  for (size_t run = 0; run < 2; ++run) {
    const auto first = cell->ttft_ms.values.begin() + static_cast<ptrdiff_t>(run * 3);
    const double last_first_ms = *std::max_element(first, first + 3);
    CHECK(cell->prefill_tokens_per_second.values[run] * last_first_ms * 1e-3 ==
          doctest::Approx(27.0));
  }
}

TEST_CASE("with drafts a cell tells what was accepted, and what that saves") {
  EngineOptions options;
  options.directory = golden_dir("mtp-e") / "target";
  options.device = "cpu";
  options.context = 120;
  options.max_sequences = 2;
  options.draft = {DraftOptions::Kind::kModel, golden_dir("mtp-e") / "assistant", 3};
  const auto engine = Engine::load(options);
  for (const int64_t depth : {0, 40}) {
    CAPTURE(depth);
    const auto cell = run(*engine, {parse_workload("9/60"), 2, depth}, {}, true);
    REQUIRE(cell.has_value());
    REQUIRE(cell->accepted_length.values.size() == 2);
    REQUIRE(cell->acceptance_by_position.size() == 3);
    CHECK(cell->speed_up.values.size() == 2);
    CHECK(*cell->speed_up.median > 0.0);
    double reached = 1.0;  // rounds that draft less, at an answer's end, draft the first ones
    for (const Measured& share : cell->acceptance_by_position) {
      REQUIRE(share.values.size() == 2);
      CHECK(*share.mean <= reached);
      CHECK(*share.mean >= 0.0);
      reached = *share.mean;
    }
    const double first = cell->acceptance_by_position[0].values[0];
    CHECK(cell->accepted_length.values[0] >= 1.0 + first - 1e-9);
    CHECK(cell->accepted_length.values[0] <= 1.0 + 3.0 * first + 1e-9);
    CHECK(cell->ttft_ms.values.size() == 4);  // runs without drafts are no values of their own
  }
  engine->enable_drafts(false);
  const auto plain = run(*engine, {parse_workload("9/20"), 2, 0});
  REQUIRE(plain.has_value());
  CHECK(plain->accepted_length.values.empty());
  CHECK(plain->acceptance_by_position.empty());
  CHECK_FALSE(plain->speed_up.median.has_value());
}

TEST_CASE("shares count what nothing came of") {
  const Measured share =
      measured_rate(std::vector<double>{0.0, 3.0}, std::vector<double>{1.0, 4.0});
  CHECK(share.values == std::vector<double>{0.0, 0.75});
  CHECK(*share.mean == doctest::Approx(0.6));
}

TEST_CASE("an answer of one token has no decode rate") {
  const auto engine = Engine::load(dummy("text-e"));
  const auto cell = run(*engine, {parse_workload("9/1"), 1, 0});
  REQUIRE(cell.has_value());
  CHECK(cell->ttft_ms.median.has_value());
  CHECK(cell->tpot_ms.values.empty());
  CHECK_FALSE(cell->decode_tokens_per_second.median.has_value());
  CHECK_FALSE(cell->bytes_per_token.median.has_value());
}

TEST_CASE("at depth the keys and values count, past the sliding window too") {
  for (const char* golden : {"text-e", "text-31b"}) {
    CAPTURE(golden);
    const auto engine = Engine::load(dummy(golden));
    const auto flat = run(*engine, {parse_workload("8/4"), 2, 0});
    const auto deep = run(*engine, {parse_workload("8/4"), 2, 150});
    REQUIRE(flat.has_value());
    REQUIRE(deep.has_value());
    CHECK(*deep->bytes_per_token.median > *flat->bytes_per_token.median);
    double kv = 0.0;  // steps at positions 158, 159, 160
    for (const int64_t position : {158, 159, 160}) {
      kv += static_cast<double>(engine->kv_bytes_per_token(position)) / 3.0;
    }
    CHECK(*deep->bytes_per_token.median ==
          doctest::Approx(static_cast<double>(engine->weight_bytes_per_token()) / 2.0 + kv));
  }
}

TEST_CASE("a cell ends when it is asked to") {
  const auto engine = Engine::load(dummy("text-e"));
  int asked = 0;
  BenchHooks hooks;
  hooks.should_stop = [&]() -> std::optional<FinishReason> {
    return ++asked > 3 ? std::optional(FinishReason::kInterrupted) : std::nullopt;
  };
  CHECK_FALSE(run(*engine, {parse_workload("9/50"), 1, 0}, hooks).has_value());
}

TEST_CASE("linear operations are the matrices that the engine reads") {
  for (const char* golden : {"text-e", "text-31b", "text-moe"}) {
    CAPTURE(golden);
    const ModelConfig config = read_model_shape(dummy(golden));
    // Decoding one token passes what the engine says it reads, in bf16, and two table rows.
    const auto engine = Engine::load(dummy(golden));
    int64_t passed = 0;
    for (const LinearOp& op : linear_ops(config.text)) passed += op.rows * op.cols * op.per_token;
    const auto read = static_cast<int64_t>(engine->weight_bytes_per_token());
    CHECK(read >= 2 * passed);
    CHECK(read - 2 * passed <
          2 * (config.text.hidden_size + config.text.per_layer_width * config.text.num_layers()) +
              1);
  }
}

TEST_CASE("a prompt token costs less than an answer token where layers share keys and values") {
  EngineOptions options;
  options.dummy_preset = golden_dir("text-e") / "config.json";
  const ModelConfig config = read_model_shape(options);
  const double one = prefill_operations(config.text, 0, 1);
  const double two = prefill_operations(config.text, 0, 2);
  CHECK(two - one < 0.9 * one);
  CHECK(prefill_operations(config.text, 50, 1) > one);
}

TEST_CASE("a model's fingerprint is the same each time, and another for another model") {
  CHECK(model_fingerprint(golden_dir("text-e")) == model_fingerprint(golden_dir("text-e")));
  CHECK(model_fingerprint(golden_dir("text-e")) != model_fingerprint(golden_dir("text-31b")));
}

TEST_CASE("the memory plan counts the weights as they will be after conversion") {
  const auto planned = [](const std::string& golden, WeightChoice choice) {
    EngineOptions options;
    options.directory = golden_dir(golden);
    options.weights = choice;
    return static_cast<double>(plan_memory(options, 64).weights);
  };
  for (const std::string golden : {"text-e", "text-31b", "text-moe"}) {
    CAPTURE(golden);
    const Checkpoint checkpoint = Checkpoint::open(golden_dir(golden));
    auto stored = static_cast<double>(checkpoint.total_bytes());
    if (golden == "text-e") stored -= 2.0 * 512 * 160;  // its table per layer stays in the file
    CHECK(planned(golden, {}) == stored);
    // What all linears take now: bf16 or float32, experts included. Some checkpoints carry a few
    // that no layer uses.
    const ModelConfig config = parse_model_config(checkpoint.config(), Json::object());
    double weights = 0.0;
    for (const LinearOp& op : linear_ops(config.text)) {
      if (op.name == "lm_head" || op.name == "router.proj") continue;
      weights += static_cast<double>(op.rows * op.cols * op.stored);
    }
    const double per_weight = (stored - planned(golden, {WeightFormat::kInt8})) / weights + 1;
    CHECK((per_weight == doctest::Approx(2.0).epsilon(0.02) ||
           per_weight == doctest::Approx(4.0).epsilon(0.02)));
    CHECK(stored - planned(golden, {WeightFormat::kInt4}) ==
          doctest::Approx(weights * (per_weight - 0.5625)).epsilon(0.02));
    const double head = static_cast<double>(config.text.vocab_size) * config.text.hidden_size;
    CHECK(planned(golden, {WeightFormat::kStored, WeightFormat::kInt8}) - stored ==
          doctest::Approx(head));
  }
}

}  // namespace gemma4
