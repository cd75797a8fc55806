// Sampling with drafts draws from the same distribution as sampling without.
#include <doctest/doctest.h>

#include <cmath>
#include <map>

#include "tests/runtime/runner_fixture.h"

namespace gemma4 {
namespace {

constexpr int64_t kDraws = 20000;

using Counts = std::map<std::vector<TokenId>, int64_t>;

// Continuations of three tokens; a fourth is asked for so that two can be drafted.
Counts draw(RunnerFixture& runner, uint64_t first_seed, Speculation* speculation) {
  std::vector<GenerationRequest> requests;
  for (int64_t i = 0; i < kDraws; ++i) {
    GenerationRequest request = greedy_request(prompt_of(4, 1), 4);
    request.sampling.temperature = 0.9f;
    request.sampling.top_k = 6;
    request.sampling.repetition_penalty = 1.1f;
    request.seed = first_seed + static_cast<uint64_t>(i);
    requests.push_back(std::move(request));
  }
  Counts counts;
  int64_t accepted = 0;
  for (const GenerationResult& result : runner.run(requests, speculation)) {
    ++counts[{result.token_ids.begin(), result.token_ids.begin() + 3}];
    accepted += result.drafts.total_accepted();
  }
  if (speculation != nullptr) CHECK(accepted > kDraws / 10);
  return counts;
}

// Chi-square of two samples of the same size, and its value that chance exceeds once in a thousand
// times (Wilson and Hilferty, 1931). Continuations that are rare in both are counted as one.
struct Comparison {
  double chi_square = 0.0;
  double limit = 0.0;
};

Comparison compare(const Counts& a, const Counts& b) {
  Counts all = a;
  for (const auto& [tokens, count] : b) all[tokens] += count;
  Comparison result;
  double rare_a = 0.0, rare_b = 0.0, cells = 0.0;
  const auto add = [&](double x, double y) {
    if (x + y == 0.0) return;
    result.chi_square += (x - y) * (x - y) / (x + y);
    ++cells;
  };
  for (const auto& [tokens, total] : all) {
    const auto count = [&](const Counts& counts) {
      const auto found = counts.find(tokens);
      return found == counts.end() ? 0.0 : static_cast<double>(found->second);
    };
    if (total < 20) {
      rare_a += count(a);
      rare_b += count(b);
    } else {
      add(count(a), count(b));
    }
  }
  add(rare_a, rare_b);
  REQUIRE(cells > 20);
  const double freedom = cells - 1;
  const double spread = 2.0 / (9.0 * freedom);
  result.limit = freedom * std::pow(1.0 - spread + 3.0902 * std::sqrt(spread), 3.0);
  return result;
}

}  // namespace

TEST_CASE("20,000 draws with drafts and 20,000 without are of one distribution") {
  RunnerFixture runner(golden_dir("text-e"), 16);
  const auto greedy = runner.run(std::vector{greedy_request(prompt_of(4, 1), 8)});
  const auto drafts = [&] {
    const std::vector<ScriptedDraft::Script> script = {{prompt_of(4, 1), greedy[0].token_ids}};
    return speculate(std::make_unique<ScriptedDraft>(script, 0.9), 3);
  };
  const Counts plain = draw(runner, 0, nullptr);
  Speculation exact = drafts();
  const Comparison same = compare(plain, draw(runner, 1000000, &exact));
  CHECK(same.chi_square <= same.limit);
  MESSAGE("chi-square " << same.chi_square << ", limit " << same.limit);

  // The test can fail: a rule that now and then accepts what the model did not draw.
  Speculation broken = drafts();
  int64_t calls = 0;
  broken.accepts = [&](TokenId drafted, TokenId drawn) {
    return drafted == drawn || ++calls % 10 == 0;
  };
  const Comparison wrong = compare(plain, draw(runner, 2000000, &broken));
  CHECK(wrong.chi_square > wrong.limit);
  MESSAGE("with a broken rule: " << wrong.chi_square << ", limit " << wrong.limit);
}

}  // namespace gemma4
