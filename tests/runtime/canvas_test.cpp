// The sampler of diffusion blocks, without a model.
#include "lib/runtime/canvas.h"

#include <doctest/doctest.h>

#include <set>

namespace gemma4 {
namespace {

DiffusionConfig config(double bound = 0.1) {
  DiffusionConfig c;
  c.canvas_length = 256;
  c.entropy_bound = bound;
  return c;
}

std::vector<CanvasChoice> choices(size_t count, float entropy, int32_t best = 5) {
  return std::vector<CanvasChoice>(count, {best, 9, entropy});
}

size_t accepted(const DiffusionConfig& c, const std::vector<CanvasChoice>& what) {
  Canvas canvas(c, std::vector<TokenId>(what.size(), 0));
  canvas.advance(what, std::vector<TokenId>(what.size(), 1));
  size_t count = 0;
  for (size_t i = 0; i < what.size(); ++i) {
    CHECK(canvas.tokens()[i] == (canvas.accepted()[i] ? 9 : 1));
    count += canvas.accepted()[i] ? 1 : 0;
  }
  return count;
}

}  // namespace

TEST_CASE("the entropy bound counts the places before, not the place itself") {
  std::vector<CanvasChoice> three = choices(256, 9.2f);
  three[0].entropy = 0.0029f;
  three[1].entropy = three[2].entropy = 0.078f;
  CHECK(accepted(config(0.1), three) == 3);
  CHECK(accepted(config(0.01), three) == 2);
  std::vector<CanvasChoice> nine = choices(256, 9.2f);
  for (size_t i = 0; i < 9; ++i) nine[i * 7].entropy = 0.0f;
  CHECK(accepted(config(), nine) == 10);
  CHECK(accepted(config(1e9), choices(256, 9.2f)) == 256);
  CHECK(accepted(config(1e-9), choices(256, 9.2f)) == 1);
}

TEST_CASE("a block is settled when it is stable and certain") {
  DiffusionConfig c = config();
  const auto run = [&](const std::vector<std::pair<int32_t, float>>& steps) {
    Canvas canvas(c, std::vector<TokenId>(4, 0));
    for (const auto& [best, entropy] : steps) {
      if (canvas.settled()) break;
      canvas.advance(choices(4, entropy, best), std::vector<TokenId>(4, 1));
    }
    return canvas.settled() ? canvas.steps() : -1;
  };
  CHECK(run({{5, 0.001f}, {5, 0.001f}}) == 2);
  CHECK(run({{5, 0.001f}, {6, 0.001f}, {6, 0.001f}}) == 3);
  CHECK(run({{5, 0.1f}, {5, 0.1f}, {5, 0.001f}}) == 3);
  CHECK(run({{5, 0.005f}, {5, 0.005f}}) == -1);  // strictly below the threshold
  c.stability_threshold = 2;
  CHECK(run({{5, 0.001f}, {5, 0.001f}, {5, 0.001f}}) == 3);
  c.stability_threshold = 0;
  CHECK(run({{5, 0.001f}}) == 1);
  c.stops_early = false;
  c.max_denoising_steps = 3;
  CHECK(run({{5, 0.001f}, {5, 0.001f}, {5, 0.001f}, {5, 0.001f}}) == 3);
  c.max_denoising_steps = 1;
  CHECK(run({{5, 9.0f}}) == 1);
}

TEST_CASE("the block is the likeliest tokens, not what was drawn") {
  DiffusionConfig c = config(1e9);
  c.max_denoising_steps = 1;
  Canvas canvas(c, {0, 0});
  canvas.advance(std::vector<CanvasChoice>{{3, 9, 0.5f}, {4, 9, 0.5f}}, std::vector<TokenId>{1, 1});
  CHECK(std::vector<TokenId>(canvas.best().begin(), canvas.best().end()) ==
        std::vector<TokenId>{3, 4});
}

TEST_CASE("the temperature falls over the steps, and never reaches its minimum") {
  const DiffusionConfig c = config();
  Canvas canvas(c, {0});
  std::vector<float> seen;
  while (!canvas.settled()) {
    seen.push_back(canvas.temperature());
    canvas.advance(choices(1, 9.0f), std::vector<TokenId>{1});
  }
  REQUIRE(seen.size() == 48);
  CHECK(seen[0] == doctest::Approx(0.8));
  CHECK(seen[24] == doctest::Approx(0.6));
  CHECK(seen[47] == doctest::Approx(0.408333));
  DiffusionConfig plain = config();
  plain.has_temperature = false;
  CHECK(Canvas(plain, {0}).temperature() == 1.0f);
}

TEST_CASE("random numbers differ by purpose, block, step and place, and by nothing else") {
  using Purpose = CanvasRandom::Purpose;
  const CanvasRandom random(7);
  std::set<double> seen;
  double sum = 0.0;
  for (const Purpose purpose : {Purpose::kStart, Purpose::kCandidate, Purpose::kRenoise}) {
    for (int64_t block = 0; block < 3; ++block) {
      for (int32_t step = 0; step < 10; ++step) {
        for (int32_t place = 0; place < 50; ++place) {
          const double u = random.uniform(purpose, block, step, place);
          CHECK(u == CanvasRandom(7).uniform(purpose, block, step, place));
          seen.insert(u);
          sum += u;
          const TokenId id = random.token(purpose, block, step, place, 512);
          CHECK((id >= 0 && id < 512));
        }
      }
    }
  }
  CHECK(seen.size() == 4500);
  CHECK(sum / 4500 == doctest::Approx(0.5).epsilon(0.03));
  CHECK(random.uniform(Purpose::kStart, 0, 0, 0) !=
        CanvasRandom(8).uniform(Purpose::kStart, 0, 0, 0));
}

}  // namespace gemma4
