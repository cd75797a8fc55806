#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

constexpr float kEps = 1e-6f;

Step simple_step(int64_t rows) {
  Step step;
  for (int64_t r = 0; r < rows; ++r) {
    step.tokens.push_back(static_cast<int32_t>(r * 7 % 11));
    step.positions.push_back(static_cast<int32_t>(r * 37001 % 131072));
    step.sequences.push_back(0);
  }
  return step;
}

TEST_CASE("rms_norm matches the reference for odd sizes, with and without a weight, in place") {
  on_each_backend([](Ops& ops) {
    for (const int64_t cols : {1, 7, 16, 33, 256, 1536, 2817}) {
      for (const bool weighted : {false, true}) {
        CAPTURE(cols);
        CAPTURE(weighted);
        check_against_reference(ops, [&](Ops& o) {
          Random random(1);
          const DeviceMatrix x(o, 5, cols, random.normals(5 * cols, 3.0f));
          const Vector weight = weighted ? upload(o, random.normals(cols)) : Vector{};
          o.rms_norm(x.view, weight, kEps, x.view);
          return x.host();
        });
      }
    }
  });
}

TEST_CASE("close_block adds the normed branch, scales, and norms for the next block") {
  on_each_backend([](Ops& ops) {
    for (const int64_t cols : {5, 48, 80, 1536}) {
      for (const bool next : {false, true}) {
        for (const bool weighted : {false, true}) {
          CAPTURE(cols);
          check_against_reference(ops, [&](Ops& o) {
            Random random(2);
            const DeviceMatrix x(o, 3, cols, random.normals(3 * cols));
            const DeviceMatrix branch(o, 3, cols, random.normals(3 * cols, 9.0f));
            const DeviceMatrix normed(o, 3, cols, random.normals(3 * cols));
            const Vector post = weighted ? upload(o, random.normals(cols)) : Vector{};
            const Vector following = weighted ? upload(o, random.normals(cols)) : Vector{};
            o.close_block(x.view, branch.view, post, kEps, 0.7f, following,
                          next ? normed.view : Matrix{});
            std::vector<float> both = x.host();
            const std::vector<float> more = normed.host();
            both.insert(both.end(), more.begin(), more.end());
            return both;
          });
        }
      }
    }
  });
}

TEST_CASE("head_norm_rope turns pairs at far positions and leaves those of frequency 0") {
  on_each_backend([](Ops& ops) {
    for (const int32_t head_dim : {2, 16, 24, 40, 256, 512}) {
      for (const bool rotate : {false, true}) {
        CAPTURE(head_dim);
        check_against_reference(
            ops,
            [&](Ops& o) {
              Random random(3);
              Step step = simple_step(6);
              o.begin_step(step);
              const DeviceMatrix x(o, 6, 3 * head_dim, random.normals(18 * head_dim));
              const Vector weight = upload(o, random.normals(head_dim));
              std::vector<float> frequencies;
              for (int32_t j = 0; j < head_dim / 2; ++j) {
                frequencies.push_back(j % 3 == 2
                                          ? 0.0f
                                          : std::pow(1e4f, -2.0f * static_cast<float>(j) /
                                                               static_cast<float>(head_dim)));
              }
              const RopeTable rope{upload(o, frequencies)};
              o.head_norm_rope(step, x.view, head_dim, weight, kEps, rotate ? &rope : nullptr);
              o.head_norm_rope(step, x.view, head_dim, {}, kEps, rotate ? &rope : nullptr);
              o.end_step(step);
              return x.host();
            },
            1e-5);
      }
    }
  });
}

TEST_CASE("embed looks up, scales, and leaves soft embeddings unscaled") {
  on_each_backend([](Ops& ops) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      for (const int64_t cols : {3, 48, 1537}) {
        Random random(4);
        TestWeight table(random, 11, cols, dtype);
        const std::vector<float> soft = random.normals(cols);
        check_against_reference(ops, [&](Ops& o) {
          Step step = simple_step(40);
          step.soft_rows = {0, 17};
          step.soft_embeddings = {soft.data(), soft.data()};
          o.begin_step(step);
          Weight weight = table.weight;
          o.prepare(weight);
          const DeviceMatrix out(o, 40, cols);
          o.embed(step, weight, 39.25f, out.view);
          o.end_step(step);
          return out.host();
        });
      }
    }
  });
}

TEST_CASE("gather_rows copies the rows asked for, in that order") {
  on_each_backend([](Ops& ops) {
    check_against_reference(ops, [&](Ops& o) {
      Random random(5);
      const DeviceMatrix x(o, 9, 77, random.normals(9 * 77));
      const DeviceMatrix out(o, 4, 77);
      const std::vector<int32_t> rows = {8, 0, 3, 3};
      o.gather_rows(x.view, rows, out.view);
      return out.host();
    });
  });
}

TEST_CASE("upload widens every float type") {
  on_each_backend([](Ops& ops) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kF16}) {
      Random random(6);
      const TestWeight values(random, 1, 37, dtype);
      check_against_reference(ops, [&](Ops& o) {
        Tensor tensor = values.weight.dense;
        tensor.shape = {37};
        const Vector vector = o.upload(tensor);
        REQUIRE(vector.size == 37);
        std::vector<float> host(37);
        o.copy_to_host(host.data(), vector.data, 37 * sizeof(float));
        return host;
      });
    }
  });
}

}  // namespace
}  // namespace gemma4
