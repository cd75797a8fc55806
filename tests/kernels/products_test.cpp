#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

constexpr Dtype kDtypes[] = {Dtype::kF32, Dtype::kBf16, Dtype::kF16};

/// x W^T on a backend for a weight that is already there.
std::vector<float> product(Ops& ops, const Weight& stored, const std::vector<float>& x,
                           int64_t rows) {
  Weight weight = stored;
  ops.prepare(weight);
  const DeviceMatrix in(ops, rows, weight.cols, x);
  const DeviceMatrix out(ops, rows, weight.rows);
  const LinearTarget target{&weight, out.view};
  ops.linear(in.view, {&target, 1});
  return out.host();
}

TEST_CASE("linear matches the reference for every float type, few rows and many, odd sizes") {
  on_each_backend([](Ops& ops) {
    for (const Dtype dtype : kDtypes) {
      for (const int64_t m : {1, 2, 3, 5, 8, 9, 13, 14, 15, 31, 70}) {
        for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
                 {1, 1}, {3, 5}, {16, 16}, {48, 80}, {33, 31}, {100, 257}, {65, 530}}) {
          CAPTURE(m);
          CAPTURE(n);
          CAPTURE(k);
          Random random(static_cast<unsigned>(m * 1000 + n));
          const TestWeight weight(random, n, k, dtype);
          const std::vector<float> x = random.normals(m * k);
          check_against_reference(
              ops, [&](Ops& o) { return product(o, weight.weight, x, m); }, 1e-5);
        }
      }
    }
  });
}

TEST_CASE("linear with more rows than a packed block holds matches the reference") {
  on_each_backend([](Ops& ops) {
    Random random(11);
    const TestWeight weight(random, 70, 300, Dtype::kBf16);
    const std::vector<float> x = random.normals(1100 * 300);
    check_against_reference(
        ops, [&](Ops& o) { return product(o, weight.weight, x, 1100); }, 1e-5);
  });
}

TEST_CASE("linear gives each of several weights that share an input its own output") {
  on_each_backend([](Ops& ops) {
    for (const int64_t m : {1, 4, 20}) {
      Random random(12);
      TestWeight a(random, 40, 72, Dtype::kBf16);
      TestWeight b(random, 7, 72, Dtype::kF32);
      const std::vector<float> x = random.normals(m * 72);
      check_against_reference(
          ops,
          [&](Ops& o) {
            const DeviceMatrix in(o, m, 72, x);
            const DeviceMatrix out_a(o, m, 40);
            const DeviceMatrix out_b(o, m, 7);
            const std::vector<LinearTarget> targets = {{&a.weight, out_a.view},
                                                       {&b.weight, out_b.view}};
            o.linear(in.view, targets);
            std::vector<float> all = out_a.host();
            const std::vector<float> more = out_b.host();
            all.insert(all.end(), more.begin(), more.end());
            return all;
          },
          1e-5);
    }
  });
}

TEST_CASE("a row's product does not depend on the rows beside it, up to eight") {
  on_each_backend([](Ops& ops) {
    for (const Dtype dtype : kDtypes) {
      Random random(13);
      const TestWeight weight(random, 70, 333, dtype);
      const std::vector<float> x = random.normals(8 * 333);
      const std::vector<float> first = product(ops, weight.weight, {x.begin(), x.begin() + 333}, 1);
      for (int64_t m = 2; m <= 8; ++m) {
        const std::vector<float> all =
            product(ops, weight.weight, {x.begin(), x.begin() + 333 * m}, m);
        CHECK(std::vector<float>(all.begin(), all.begin() + 70) == first);
      }
    }
  });
}

TEST_CASE("gated_mlp matches the reference") {
  on_each_backend([](Ops& ops) {
    for (const int64_t m : {1, 6, 17}) {
      Random random(14);
      TestWeight gate(random, 130, 48, Dtype::kBf16, 0.3f);
      TestWeight up(random, 130, 48, Dtype::kBf16, 0.3f);
      TestWeight down(random, 48, 130, Dtype::kBf16, 0.3f);
      const std::vector<float> x = random.normals(m * 48, 2.0f);
      check_against_reference(
          ops,
          [&](Ops& o) {
            const DeviceMatrix in(o, m, 48, x);
            const DeviceMatrix out(o, m, 48);
            o.gated_mlp(in.view, {gate.weight, up.weight, down.weight}, out.view);
            return out.host();
          },
          1e-5);
    }
  });
}

TEST_CASE("gelu is right where it vanishes, saturates and overflows") {
  on_each_backend([](Ops& ops) {
    // One weight of 1 makes gated_mlp the bare function gelu(z) * z.
    const std::vector<float> values = {-1e4f,   -200.0f, -12.0f, -5.0f, -1.0f, -1e-3f,
                                       -1e-20f, 0.0f,    1e-20f, 1e-3f, 0.5f,  1.0f,
                                       3.0f,    9.0f,    50.0f,  1e4f,  1e15f};
    const float one = 1.0f;
    Weight weight;
    weight.rows = weight.cols = 1;
    weight.dense = {&one, Dtype::kF32, {1, 1}};
    for (const float z : values) {
      const auto compute = [&](Ops& o) {
        const DeviceMatrix in(o, 1, 1, {z});
        const DeviceMatrix out(o, 1, 1);
        o.gated_mlp(in.view, {weight, weight, weight}, out.view);
        return out.host()[0];
      };
      const double got = compute(ops);
      const double expected = compute(*make_reference_ops());
      CAPTURE(z);
      CHECK(std::abs(got - expected) <=
            1e-6 * std::abs(expected) + 1e-6 * std::abs(double{z}) * 1e-3);
    }
  });
}

TEST_CASE("logits are capped, and not capped when the cap is 0") {
  on_each_backend([](Ops& ops) {
    for (const float cap : {0.0f, 30.0f}) {
      for (const int64_t m : {1, 3, 12}) {
        Random random(15);
        TestWeight head(random, 1001, 64, Dtype::kBf16);
        const std::vector<float> x = random.normals(m * 64, 5.0f);
        check_against_reference(
            ops,
            [&](Ops& o) {
              const DeviceMatrix in(o, m, 64, x);
              const DeviceMatrix out(o, m, 1001);
              o.logits(in.view, head.weight, cap, out.view);
              return out.host();
            },
            1e-5);
      }
    }
  });
}

TEST_CASE("per_layer_embed combines projection and table of the layers asked for") {
  on_each_backend([](Ops& ops) {
    for (const int32_t first_layer : {0, 1}) {
      for (const int64_t width : {8, 48, 256}) {
        Random random(16);
        const int64_t hidden = 80;
        const int64_t rows = 12;
        TestWeight table(random, 20, 4 * width, Dtype::kBf16);
        TestWeight projection(random, 4 * width, hidden, Dtype::kBf16);
        const std::vector<float> x = random.normals(rows * hidden);
        const std::vector<float> norm = random.normals(width);
        check_against_reference(
            ops,
            [&](Ops& o) {
              Step step;
              for (int32_t r = 0; r < rows; ++r) step.tokens.push_back(r == 5 ? 20 : r);
              step.positions.resize(static_cast<size_t>(rows));
              step.sequences.resize(static_cast<size_t>(rows));
              o.begin_step(step);
              const DeviceMatrix in(o, rows, hidden, x);
              const DeviceMatrix out(o, rows, 3 * width);
              o.per_layer_embed(step, in.view, table.weight, 3.5f, projection.weight,
                                upload(o, norm), 1e-6f, first_layer, 3, out.view);
              o.end_step(step);
              return out.host();
            },
            1e-5);
      }
    }
  });
}

TEST_CASE("per_layer_embed takes row 0 of the table for a soft row, whatever its token") {
  on_each_backend([](Ops& ops) {
    Random random(17);
    TestWeight table(random, 20, 32, Dtype::kBf16);
    TestWeight projection(random, 32, 24, Dtype::kBf16);
    const std::vector<float> x = random.normals(24);
    const std::vector<float> norm = random.normals(16);
    const auto compute = [&](int32_t token, bool soft) {
      Step step;
      step.tokens = {token};
      step.positions = {0};
      step.sequences = {0};
      if (soft) {
        step.soft_rows = {0};
        step.soft_embeddings = {x.data()};
      }
      ops.begin_step(step);
      const DeviceMatrix in(ops, 1, 24, x);
      const DeviceMatrix out(ops, 1, 32);
      ops.per_layer_embed(step, in.view, table.weight, 4.0f, projection.weight, upload(ops, norm),
                          1e-6f, 0, 2, out.view);
      ops.end_step(step);
      return out.host();
    };
    CHECK(compute(7, true) == compute(0, false));
    CHECK(compute(-1, false) == compute(0, false));
    CHECK(compute(7, false) != compute(0, false));
  });
}

TEST_CASE("per_layer_inject matches the reference") {
  on_each_backend([](Ops& ops) {
    for (const int64_t m : {1, 4, 19}) {
      Random random(18);
      TestWeight gate(random, 24, 80, Dtype::kBf16, 0.2f);
      TestWeight projection(random, 80, 24, Dtype::kBf16, 0.2f);
      const std::vector<float> x = random.normals(m * 80);
      const std::vector<float> inputs = random.normals(m * 24 * 3);
      check_against_reference(
          ops,
          [&](Ops& o) {
            const DeviceMatrix in(o, m, 80, x);
            const DeviceMatrix layers(o, m, 24 * 3, inputs);
            const DeviceMatrix out(o, m, 80);
            o.per_layer_inject(in.view, gate.weight, projection.weight, layers.view, 1, out.view);
            return out.host();
          },
          1e-5);
    }
  });
}

TEST_CASE("experts are chosen and mixed as in the reference") {
  on_each_backend([](Ops& ops) {
    for (const int64_t m : {1, 5, 40, 600}) {
      const int64_t hidden = 56;
      const int64_t width = 20;
      const int32_t top_k = 3;
      Random random(19);
      std::vector<std::unique_ptr<TestWeight>> weights;
      std::vector<MlpWeights> experts;
      for (int e = 0; e < 9; ++e) {
        for (int i = 0; i < 3; ++i) {
          weights.push_back(std::make_unique<TestWeight>(
              random, i == 2 ? hidden : width, i == 2 ? width : hidden, Dtype::kBf16, 0.3f));
        }
        experts.push_back({weights[weights.size() - 3]->weight, weights[weights.size() - 2]->weight,
                           weights.back()->weight});
      }
      TestWeight projection(random, 9, hidden, Dtype::kBf16);
      const std::vector<float> scale = random.normals(hidden);
      const std::vector<float> expert_scale = random.normals(9);
      const std::vector<float> x = random.normals(m * hidden);
      std::vector<int32_t> chosen[2];
      int run = 0;
      check_against_reference(
          ops,
          [&](Ops& o) {
            const DeviceMatrix in(o, m, hidden, x);
            const DeviceMatrix out(o, m, hidden);
            std::vector<int32_t>& ids = chosen[run++];
            ids.resize(static_cast<size_t>(m * top_k));
            std::vector<float> mix(static_cast<size_t>(m * top_k));
            const Routing routing{ids.data(), mix.data(), m, top_k};
            o.route_experts(in.view,
                            {projection.weight, upload(o, scale), upload(o, expert_scale), top_k},
                            1e-6f, routing);
            o.expert_mlp(in.view, experts, routing, out.view);
            return out.host();
          },
          1e-5);
      CHECK(chosen[0] == chosen[1]);
    }
  });
}

TEST_CASE("of experts with equal scores the lower indices are chosen") {
  on_each_backend([](Ops& ops) {
    const std::vector<float> zeros(6 * 16, 0.0f);
    Weight projection;
    projection.rows = 6;
    projection.cols = 16;
    projection.dense = {zeros.data(), Dtype::kF32, {6, 16}};
    Random random(20);
    const DeviceMatrix in(ops, 2, 16, random.normals(32));
    std::vector<int32_t> ids(4, -1);
    std::vector<float> mix(4);
    ops.route_experts(in.view,
                      {projection, upload(ops, std::vector<float>(16, 1.0f)),
                       upload(ops, std::vector<float>(6, 1.0f)), 2},
                      1e-6f, {ids.data(), mix.data(), 2, 2});
    CHECK(ids == std::vector<int32_t>{0, 1, 0, 1});
    CHECK(mix == std::vector<float>{0.5f, 0.5f, 0.5f, 0.5f});
  });
}

}  // namespace
}  // namespace gemma4
