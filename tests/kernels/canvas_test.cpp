// The operations of a diffusion canvas.
#include <cmath>

#include "lib/base/error.h"
#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

struct Judged {
  std::vector<CanvasChoice> choices;
  std::vector<float> probabilities;
};

Judged judge(Ops& ops, int64_t rows, const std::vector<float>& logits, const CanvasRow& how) {
  const DeviceMatrix in(ops, rows, static_cast<int64_t>(logits.size()) / rows, logits);
  std::vector<CanvasRow> all(static_cast<size_t>(rows), how);
  for (int64_t r = 0; r < rows; ++r) {
    all[static_cast<size_t>(r)].random = std::fmod(how.random + 0.37 * static_cast<double>(r), 1.0);
  }
  Judged out;
  out.choices.resize(all.size());
  ops.judge_canvas(in.view, all, out.choices.data());
  out.probabilities = in.host();
  return out;
}

float entropy_of(Ops& ops, const std::vector<float>& logits) {
  return judge(ops, 1, logits, {}).choices[0].entropy;
}

}  // namespace

TEST_CASE("judge_canvas finds the probabilities, choices and entropies of the reference") {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  on_each_backend([&](Ops& ops) {
    const std::vector<int32_t> suppressed = {1, 6};
    for (const int64_t vocab : {7, 1000, 262144}) {
      for (const float temperature : {0.4f, 0.8f, 1.0f}) {
        Random random(41);
        const int64_t rows = vocab > 1000 ? 2 : 9;
        const std::vector<float> logits = random.normals(rows * vocab, 6.0f);
        const CanvasRow how{temperature, 0.11, suppressed};
        const Judged got = judge(ops, rows, logits, how);
        const Judged expected = judge(*reference, rows, logits, how);
        for (size_t r = 0; r < got.choices.size(); ++r) {
          CHECK(got.choices[r].best == expected.choices[r].best);
          CHECK(got.choices[r].candidate == expected.choices[r].candidate);
          CHECK(got.choices[r].entropy ==
                doctest::Approx(expected.choices[r].entropy).epsilon(1e-5));
        }
        CHECK(relative_error(got.probabilities, expected.probabilities) < 1e-4);
        for (int64_t r = 0; r < rows; ++r) {
          CHECK(got.probabilities[static_cast<size_t>(r * vocab + 6)] == 0.0f);
        }
      }
    }
  });
}

TEST_CASE("entropies are in nats: ln V when all are alike, next to nothing when one dominates") {
  on_each_backend([&](Ops& ops) {
    CHECK(entropy_of(ops, std::vector<float>(262144, 3.0f)) ==
          doctest::Approx(12.4766).epsilon(1e-5));
    std::vector<float> logits(10000, 0.0f);
    logits[77] = 18.0f;
    CHECK(entropy_of(ops, logits) == doctest::Approx(0.0029).epsilon(0.01));
    logits[77] = 14.5f;
    CHECK(entropy_of(ops, logits) == doctest::Approx(0.078).epsilon(0.01));
    logits[77] = 1e6f;
    CHECK(entropy_of(ops, logits) == 0.0f);
  });
}

TEST_CASE("a canvas draws each id as often as its probability says") {
  on_each_backend([&](Ops& ops) {
    const std::vector<float> logits = {std::log(0.5f), std::log(0.25f), std::log(0.25f)};
    for (const auto& [random, id] :
         {std::pair{0.0, 0}, {0.49, 0}, {0.51, 1}, {0.76, 2}, {0.999, 2}}) {
      CHECK(judge(ops, 1, logits, {1.0f, random, {}}).choices[0].candidate == id);
    }
    const std::vector<float> ties = {1.0f, 5.0f, 5.0f};
    CHECK(judge(ops, 1, ties, {}).choices[0].best == 1);
  });
}

TEST_CASE("logits that are not finite are an error, not a settled canvas") {
  on_each_backend([&](Ops& ops) {
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY}) {
      std::vector<float> logits(100, 1.0f);
      logits[63] = bad;
      CHECK_THROWS_AS(judge(ops, 1, logits, {}), Error);
    }
  });
}

TEST_CASE("embed_mixture is the scaled mean of embeddings, in every format") {
  on_each_backend([&](Ops& ops) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      Random random(42);
      const int64_t vocab = 9001;
      const int64_t hidden = 200;
      TestWeight table(random, vocab, hidden, dtype);
      ops.prepare(table.weight);
      // Sharp rows, flat ones, and one with a single token.
      std::vector<float> p;
      for (int64_t r = 0; r < 5; ++r) {
        std::vector<float> row = random.normals(vocab, r < 2 ? 12.0f : 0.1f);
        double total = 0.0;
        for (float& value : row) total += value = std::exp(value);
        for (float& value : row) value = static_cast<float>(value / total);
        if (r == 4) std::fill(row.begin(), row.end(), 0.0f);
        if (r == 4) row[8999] = 1.0f;
        p.insert(p.end(), row.begin(), row.end());
      }
      check_against_reference(
          ops,
          [&](Ops& o) {
            const DeviceMatrix in(o, 5, vocab, p);
            const DeviceMatrix out(o, 5, hidden);
            o.embed_mixture(in.view, table.weight, 53.0f, out.view);
            return out.host();
          },
          1e-5);
    }
  });
}

}  // namespace gemma4
