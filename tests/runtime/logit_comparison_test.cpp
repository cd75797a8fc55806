// Divergences against their formula, and the logits of a model against themselves.
#include "lib/runtime/logit_comparison.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

#include "lib/base/error.h"
#include "tests/support/golden_files.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

std::unique_ptr<Engine> load(const std::string& golden, Dtype kv_cache_dtype) {
  EngineOptions options;
  options.directory = golden_dir(golden);
  options.device = "cpu";
  options.exact_activations = true;
  options.kv_cache_dtype = kv_cache_dtype;
  options.max_chunk = 20;
  return Engine::load(options);
}

}  // namespace

TEST_CASE("the divergence of two rows of logits is that of its formula") {
  const std::vector<float> p = {std::log(0.5f), std::log(0.25f), std::log(0.25f)};
  const std::vector<float> q = {std::log(0.25f) + 7, std::log(0.5f) + 7, std::log(0.25f) + 7};
  CHECK(logit_divergence(p, q) == doctest::Approx(0.25 * std::log(2.0)));
  CHECK(logit_divergence(p, p) == 0.0);
  CHECK(std::isnan(logit_divergence(p, {{0.0f, NAN, 0.0f}})));
  std::vector<float> wide(50000, -3.0f);
  std::vector<float> other = wide;
  other[40000] = 20.0f;
  const double total = 49999.0 * std::exp(-3.0) + std::exp(20.0);
  const double expected = -std::log(50000.0) -
                          (49999.0 * (-3.0 - std::log(total)) + (20.0 - std::log(total))) / 50000.0;
  CHECK(logit_divergence(wide, other) == doctest::Approx(expected).epsilon(1e-9));
}

TEST_CASE("a model scores every position as the official implementation does") {
  const auto engine = load("text-e", Dtype::kF32);
  const SafetensorsFile golden(golden_dir("text-e") / "goldens.safetensors");
  std::vector<float> got;
  engine->score(ids_of(golden, "input_ids"), [&](std::span<const float> logits) {
    got.insert(got.end(), logits.begin(), logits.end());
  });
  const std::vector<float> expected = floats_of(golden, "logits");
  REQUIRE(got.size() == expected.size());
  CHECK(difference(got.data(), expected.data(), got.size()).max < 1e-3);
  CHECK_THROWS_AS(engine->score({}, {}), Error);
}

TEST_CASE("a model agrees with itself, and differs from itself with coarser keys and values") {
  const SafetensorsFile golden(golden_dir("text-e") / "goldens.safetensors");
  const std::vector<TokenId> ids = ids_of(golden, "input_ids");
  const std::vector<std::vector<TokenId>> texts = {ids, {ids[0], ids[5]}};
  const ScratchDir scratch;
  int64_t last = 0;
  const auto compare = [&](Dtype second) {
    return compare_logits([] { return load("text-e", Dtype::kF32); },
                          [&] { return load("text-e", second); }, texts, scratch.path(),
                          [&](int64_t done, int64_t total) {
                            CHECK(done <= total);
                            last = done;
                          });
  };
  const LogitComparison same = compare(Dtype::kF32);
  CHECK(same.positions == static_cast<int64_t>(ids.size()) + 2);
  CHECK(last == 2 * same.positions);
  CHECK(same.largest_kl == 0.0);
  CHECK(same.same_top == 1.0);
  const LogitComparison coarse = compare(Dtype::kF8E4M3);
  CHECK(coarse.mean_kl > 1e-5);
  CHECK(coarse.median_kl <= coarse.p99_kl);
  CHECK(coarse.p99_kl <= coarse.largest_kl);
  CHECK(std::filesystem::is_empty(scratch.path()));
  CHECK_THROWS_AS(compare_logits([] { return load("text-e", Dtype::kF32); },
                                 [] { return load("text-e", Dtype::kF32); }, texts,
                                 scratch.path() / "missing", {}),
                  Error);
}

}  // namespace gemma4
