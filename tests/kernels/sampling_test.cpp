#include "lib/base/error.h"
#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

int32_t sample_one(Ops& ops, const std::vector<float>& logits, const SampleRow& row) {
  const DeviceMatrix in(ops, 1, static_cast<int64_t>(logits.size()), logits);
  int32_t token = -1;
  ops.sample(in.view, {&row, 1}, &token);
  CHECK(in.host() == logits);
  return token;
}

std::vector<SamplingParams> settings() {
  std::vector<SamplingParams> all;
  for (const float temperature : {0.0f, 0.4f, 1.0f, 2.5f}) {
    for (const int32_t top_k : {0, 1, 5, 64, 5000}) {
      for (const float top_p : {1.0f, 0.95f, 0.3f, 0.0f}) {
        for (const float min_p : {0.0f, 0.05f}) {
          all.push_back({temperature, top_k, top_p, min_p, 1.0f, 0.0f, 0.0f});
        }
      }
    }
  }
  all.push_back({1.0f, 64, 0.95f, 0.0f, 1.3f, 0.0f, 0.0f});
  all.push_back({1.0f, 0, 0.9f, 0.0f, 1.3f, 0.5f, 0.2f});
  all.push_back({0.0f, 0, 1.0f, 0.0f, 1.1f, 0.5f, 0.2f});
  return all;
}

TEST_CASE("sample draws what the reference draws, for every setting") {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  on_each_backend([&](Ops& ops) {
    for (const int64_t vocab : {5, 300, 3001}) {
      Random random(31);
      const std::vector<float> logits = random.normals(vocab, 3.0f);
      const std::vector<int32_t> prompt = {0, 3};
      const std::vector<int32_t> output = {1, 1, 4, 3};
      const std::vector<int32_t> suppressed = {2};
      for (const SamplingParams& params : settings()) {
        for (const double draw : {0.0, 0.31, 0.77, 0.999}) {
          SampleRow row{params, prompt, output, suppressed, {}, draw};
          CAPTURE(params.temperature);
          CAPTURE(params.top_k);
          CAPTURE(params.top_p);
          CAPTURE(params.min_p);
          CAPTURE(draw);
          CHECK(sample_one(ops, logits, row) == sample_one(*reference, logits, row));
        }
      }
    }
  });
}

TEST_CASE("a bit mask forbids ids, and ids past its end") {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  on_each_backend([&](Ops& ops) {
    Random random(32);
    const std::vector<float> logits = random.normals(1000, 3.0f);
    std::vector<uint64_t> allowed(10, 0x8000000000000101u);
    for (const SamplingParams& params : settings()) {
      SampleRow row{params, {}, {}, {}, allowed, 0.6};
      const int32_t id = sample_one(ops, logits, row);
      CHECK(id == sample_one(*reference, logits, row));
      CHECK(id < 640);
      CHECK((id % 64 == 0 || id % 64 == 8 || id % 64 == 63));
    }
  });
}

TEST_CASE("of equal logits the lowest id is the greedy one, and all of them survive top-k") {
  on_each_backend([&](Ops& ops) {
    const std::vector<float> logits(700, 1.5f);
    CHECK(sample_one(ops, logits, {{.temperature = 0.0f}, {}, {}, {}, {}, 0.0}) == 0);
    const SampleRow row{{.temperature = 1.0f, .top_k = 3}, {}, {}, {}, {}, 0.5};
    CHECK(sample_one(ops, logits, row) == 350);
  });
}

TEST_CASE("a row without any allowed id is an error") {
  on_each_backend([&](Ops& ops) {
    const std::vector<float> logits(70, 1.0f);
    const std::vector<uint64_t> none = {0, 0};
    for (const float temperature : {0.0f, 1.0f}) {
      const SampleRow row{{.temperature = temperature}, {}, {}, {}, none, 0.0};
      CHECK_THROWS_AS(sample_one(ops, logits, row), Error);
    }
  });
}

TEST_CASE("rows of a batch are sampled each with its own settings, and leave no trace") {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  on_each_backend([&](Ops& ops) {
    Random random(33);
    const std::vector<float> logits = random.normals(6 * 2000, 3.0f);
    const std::vector<int32_t> output = {7, 7, 9};
    std::vector<SampleRow> rows;
    for (int i = 0; i < 6; ++i) {
      SamplingParams params;
      params.top_k = i * 20;
      params.repetition_penalty = i % 2 == 0 ? 1.5f : 1.0f;
      params.frequency_penalty = i % 2 == 0 ? 0.5f : 0.0f;
      rows.push_back({params, {}, output, {}, {}, 0.15 * i});
    }
    for (int repeat = 0; repeat < 2; ++repeat) {
      std::vector<std::vector<int32_t>> ids;
      for (Ops* o : {&ops, reference.get()}) {
        const DeviceMatrix in(*o, 6, 2000, logits);
        ids.emplace_back(6, -1);
        o->sample(in.view, rows, ids.back().data());
      }
      CHECK(ids[0] == ids[1]);
    }
  });
}

TEST_CASE("a full vocabulary is sampled as the reference samples it") {
  const std::unique_ptr<Ops> reference = make_reference_ops();
  on_each_backend([&](Ops& ops) {
    Random random(34);
    const std::vector<float> logits = random.normals(262144, 4.0f);
    for (const SamplingParams& params :
         {SamplingParams{1.0f, 64, 0.95f}, SamplingParams{1.0f, 0, 0.95f},
          SamplingParams{0.7f, 0, 1.0f}, SamplingParams{0.0f}}) {
      const SampleRow row{params, {}, {}, {}, {}, 0.44};
      CHECK(sample_one(ops, logits, row) == sample_one(*reference, logits, row));
    }
  });
}

}  // namespace
}  // namespace gemma4
