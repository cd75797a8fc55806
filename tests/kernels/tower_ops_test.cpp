// The operations of the vision and audio towers: every backend against the reference, and the
// reference against values worked out by hand.
#include <algorithm>

#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

constexpr float kEps = 1e-6f;

/// Bounds that cut away a good part of what is normally distributed, not symmetric.
ClippedLinear clipped(const Weight& weight, float shift = 0.0f) {
  ClippedLinear linear;
  linear.weight = weight;
  linear.input_min = -1.1f + shift;
  linear.input_max = 0.9f + shift;
  linear.output_min = -2.0f;
  linear.output_max = 3.0f;
  return linear;
}

ClippedLinear plain(const Weight& weight) {
  ClippedLinear linear;
  linear.weight = weight;
  return linear;
}

std::vector<float> joined(std::vector<float> a, const std::vector<float>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A test of what the reference itself computes, and every other backend.
void on_all_backends(const std::function<void(Ops&)>& test) {
  test(*make_reference_ops());
  on_each_backend(test);
}

TEST_CASE("clipped_linear matches the reference, each map with its own bounds and bias") {
  on_each_backend([](Ops& ops) {
    for (const Dtype dtype : {Dtype::kBf16, Dtype::kF32}) {
      for (const int64_t rows : {1, 5, 67}) {
        CAPTURE(rows);
        Random random(1);
        const TestWeight a(random, 48, 72, dtype);
        const TestWeight b(random, 31, 72, dtype);
        const std::vector<float> x = random.normals(rows * 72);
        const std::vector<float> bias = random.normals(31);
        check_against_reference(ops, [&](Ops& o) {
          const ClippedLinear first = clipped(a.weight);
          const ClippedLinear second = clipped(a.weight, 0.3f);
          ClippedLinear third = plain(b.weight);
          third.bias = upload(o, bias);
          const DeviceMatrix in(o, rows, 72, x);
          const DeviceMatrix p(o, rows, 48), q(o, rows, 48), r(o, rows, 31);
          const ClippedTarget targets[] = {{&first, p.view}, {&second, q.view}, {&third, r.view}};
          o.clipped_linear(in.view, targets);
          CHECK(in.host() == x);  // the input itself is not clipped
          return joined(joined(p.host(), q.host()), r.host());
        });
      }
    }
  });
}

TEST_CASE("clipped_linear clips before and after, exactly at the bounds") {
  on_all_backends([](Ops& ops) {
    const std::vector<float> identity = {1, 0, 0, 0, 1, 0, 0, 0, 2};
    Weight weight;
    weight.rows = weight.cols = 3;
    weight.dense = {identity.data(), Dtype::kF32, {3, 3}};
    const ClippedLinear linear = clipped(weight);
    const DeviceMatrix x(ops, 1, 3, {-5.0f, 5.0f, -5.0f});
    const DeviceMatrix out(ops, 1, 3);
    const ClippedTarget target{&linear, out.view};
    ops.clipped_linear(x.view, {&target, 1});
    CHECK(out.host() == std::vector<float>{-1.1f, 0.9f, -2.0f});
  });
}

TEST_CASE("clipped_mlp matches the reference, with and without an up projection") {
  on_each_backend([](Ops& ops) {
    for (const bool gated : {true, false}) {
      for (const int64_t rows : {3, 530}) {  // more than one part of rows
        CAPTURE(gated);
        CAPTURE(rows);
        Random random(2);
        const TestWeight gate(random, 40, 24, Dtype::kBf16, 0.3f);
        const TestWeight up(random, 40, 24, Dtype::kBf16, 0.3f);
        const TestWeight down(random, 24, 40, Dtype::kBf16, 0.3f);
        const std::vector<float> x = random.normals(rows * 24);
        check_against_reference(ops, [&](Ops& o) {
          const ClippedMlp mlp{clipped(gate.weight), gated ? plain(up.weight) : ClippedLinear{},
                               clipped(down.weight)};
          const DeviceMatrix in(o, rows, 24, x);
          const DeviceMatrix out(o, rows, 24);
          o.clipped_mlp(in.view, mlp, out.view);
          return out.host();
        });
      }
    }
  });
}

TEST_CASE("layer_norm matches the reference, with and without a bias, in place") {
  on_each_backend([](Ops& ops) {
    for (const int64_t cols : {1, 7, 48, 129, 6912}) {
      for (const bool biased : {true, false}) {
        CAPTURE(cols);
        Random random(3);
        std::vector<float> x = random.normals(4 * cols, 2.0f);
        for (float& value : x) value += 3.0f;
        const std::vector<float> weight = random.normals(cols);
        const std::vector<float> bias = random.normals(cols);
        check_against_reference(
            ops,
            [&](Ops& o) {
              const DeviceMatrix m(o, 4, cols, x);
              o.layer_norm(m.view, upload(o, weight), biased ? upload(o, bias) : Vector{}, 1e-5f,
                           m.view);
              return m.host();
            },
            2e-5);
      }
    }
  });
}

TEST_CASE("add_residual adds the branch as it is and norms for the next block") {
  on_each_backend([](Ops& ops) {
    Random random(4);
    const std::vector<float> x = random.normals(3 * 50);
    const std::vector<float> branch = random.normals(3 * 50, 5.0f);
    const std::vector<float> norm = random.normals(50);
    check_against_reference(ops, [&](Ops& o) {
      const DeviceMatrix a(o, 3, 50, x), b(o, 3, 50, branch), c(o, 3, 50);
      o.add_residual(a.view, b.view, upload(o, norm), kEps, c.view);
      return joined(a.host(), c.host());
    });
  });
}

TEST_CASE("add_table_rows adds two rows of the table to each row") {
  on_all_backends([](Ops& ops) {
    const std::vector<float> values = {1, 2, 10, 20, 100, 200, 1000, 2000};
    Weight table;
    table.rows = 4;
    table.cols = 2;
    table.dense = {values.data(), Dtype::kF32, {2, 2, 2}};
    const DeviceMatrix x(ops, 2, 2, {0.5f, 0.5f, 0.0f, 0.0f});
    const std::vector<int32_t> rows = {0, 2, 3, 3};
    ops.add_table_rows(x.view, table, rows);
    CHECK(x.host() == std::vector<float>{101.5f, 202.5f, 2000.0f, 4000.0f});
  });
}

TEST_CASE("head_norm_rope_2d turns the halves of a head by their own angles") {
  on_all_backends([](Ops& ops) {
    // One head of 8, norms of 1: a quarter turn for the first pair of the second half alone.
    const DeviceMatrix x(ops, 1, 8, {1, -1, 1, -1, 1, -1, -1, 1});
    const DeviceMatrix cosine(ops, 1, 4, {1, 1, 0, 1});
    const DeviceMatrix sine(ops, 1, 4, {0, 0, 1, 0});
    const std::vector<float> ones(8, 1.0f);
    ops.head_norm_rope_2d(x.view, 8, upload(ops, ones), 0.0f, cosine.view, sine.view);
    const std::vector<float> expected = {1, -1, 1, -1, 1, -1, 1, 1};
    CHECK(relative_error(x.host(), expected) < 1e-6);
  });
  on_each_backend([](Ops& ops) {
    for (const int32_t head_dim : {12, 64, 72}) {
      Random random(5);
      const std::vector<float> x = random.normals(5 * 3 * head_dim, 4.0f);
      const std::vector<float> norm = random.normals(head_dim);
      const std::vector<float> cosines = random.normals(5 * head_dim / 2);
      const std::vector<float> sines = random.normals(5 * head_dim / 2);
      check_against_reference(ops, [&](Ops& o) {
        const DeviceMatrix m(o, 5, 3 * head_dim, x);
        const DeviceMatrix cosine(o, 5, head_dim / 2, cosines);
        const DeviceMatrix sine(o, 5, head_dim / 2, sines);
        o.head_norm_rope_2d(m.view, head_dim, upload(o, norm), kEps, cosine.view, sine.view);
        return m.host();
      });
    }
  });
}

TEST_CASE("pool takes means of squares of a grid that is no square") {
  on_all_backends([](Ops& ops) {
    std::vector<float> grid;  // 4 columns, 2 rows
    for (float i = 0; i < 8; ++i) grid.insert(grid.end(), {i, -i, 1.0f});
    const DeviceMatrix x(ops, 8, 3, grid);
    const DeviceMatrix out(ops, 2, 3);
    ops.pool(x.view, 4, 2, 2.0f, {}, {}, out.view);
    CHECK(out.host() == std::vector<float>{5.0f, -5.0f, 2.0f, 9.0f, -9.0f, 2.0f});
    const std::vector<float> bias = {1, 0, 2};
    const std::vector<float> factor = {10, 1, 7};
    ops.pool(x.view, 4, 2, 2.0f, upload(ops, bias), upload(ops, factor), out.view);
    CHECK(out.host() == std::vector<float>{40.0f, -5.0f, 0.0f, 80.0f, -9.0f, 0.0f});
  });
}

TEST_CASE("subsample matches the reference for even and odd times, one channel and many") {
  on_each_backend([](Ops& ops) {
    for (const int64_t time : {1, 2, 3, 18, 35}) {
      for (const int32_t channels : {1, 5}) {
        CAPTURE(time);
        CAPTURE(channels);
        const int64_t frequencies = 9;
        const int64_t out_channels = 12;
        Random random(6);
        const TestWeight weight(random, out_channels, 9 * channels, Dtype::kF32);
        const std::vector<float> x = random.normals(time * frequencies * channels);
        const std::vector<float> norm = random.normals(out_channels);
        check_against_reference(
            ops,
            [&](Ops& o) {
              const Subsampling stage{channels, weight.weight, upload(o, norm), kEps};
              const DeviceMatrix in(o, time, frequencies * channels, x);
              const DeviceMatrix out(o, (time + 1) / 2, 5 * out_channels);
              o.subsample(in.view, stage, out.view);
              return out.host();
            },
            2e-5);
      }
    }
  });
}

TEST_CASE("subsample puts the time tap before the frequency tap, one step back at the border") {
  on_all_backends([](Ops& ops) {
    // Two output channels, +tap and -tap: the norm leaves the sign of what was found there.
    for (int tap = 0; tap < 9; ++tap) {
      CAPTURE(tap);
      std::vector<float> kernel(18, 0.0f);
      kernel[static_cast<size_t>(tap)] = 1.0f;
      kernel[static_cast<size_t>(9 + tap)] = -1.0f;
      Subsampling stage;
      stage.channels = 1;
      stage.weight.rows = 2;
      stage.weight.cols = 9;
      stage.weight.dense = {kernel.data(), Dtype::kF32, {2, 9}};
      stage.norm = upload(ops, {1.0f, 1.0f});
      stage.eps = kEps;
      std::vector<float> image(16, 0.0f);  // 4 times, 4 frequencies
      image[2 * 4 + 1] = 100.0f;           // time 2, frequency 1
      const DeviceMatrix x(ops, 4, 4, image);
      const DeviceMatrix out(ops, 2, 4);
      ops.subsample(x.view, stage, out.view);
      // Output (t, f) finds at its tap (i, j) input (2t - 1 + i, 2f - 1 + j).
      std::vector<float> expected(8, 0.0f);
      for (int t = 0; t < 2; ++t) {
        for (int f = 0; f < 2; ++f) {
          if (2 * t - 1 + tap / 3 == 2 && 2 * f - 1 + tap % 3 == 1) {
            expected[static_cast<size_t>(t * 4 + f * 2)] = 1.0f;
          }
        }
      }
      const std::vector<float> got = out.host();
      for (size_t i = 0; i < 8; ++i) CHECK(std::abs(got[i] - expected[i]) < 1e-3f);
    }
  });
}

TEST_CASE("relative_attention matches the reference across clips of all lengths") {
  on_each_backend([](Ops& ops) {
    for (const int32_t left_keys : {1, 12, 13}) {
      CAPTURE(left_keys);
      const int32_t head_dim = 20;
      const int64_t cols = 3 * head_dim;
      std::vector<RowSpan> clips;
      for (const int64_t length : {1, 11, 12, 13, 24, 25, 31}) {
        const int64_t begin = clips.empty() ? 0 : clips.back().end;
        clips.push_back({begin, begin + length});
      }
      const int64_t rows = clips.back().end;
      Random random(7);
      const std::vector<float> q = random.normals(rows * cols, 3.0f);
      const std::vector<float> k = random.normals(rows * cols);
      const std::vector<float> v = random.normals(rows * cols);
      const std::vector<float> scale = random.normals(head_dim);
      const std::vector<float> relative = random.normals(left_keys * cols);
      check_against_reference(
          ops,
          [&](Ops& o) {
            const RelativeAttention attention{head_dim, left_keys,           upload(o, scale),
                                              1.9f,     upload(o, relative), 5.0f};
            const DeviceMatrix a(o, rows, cols, q), b(o, rows, cols, k), c(o, rows, cols, v);
            const DeviceMatrix out(o, rows, cols);
            o.relative_attention(a.view, b.view, c.view, attention, clips, out.view);
            return out.host();
          },
          2e-5);
    }
  });
}

TEST_CASE("relative_attention sees itself and the keys just before it, and no other clip") {
  on_all_backends([](Ops& ops) {
    // Zero queries weigh all visible keys alike: each output is a mean of values.
    const std::vector<float> zeros(5, 0.0f);
    const DeviceMatrix q(ops, 5, 1, zeros), k(ops, 5, 1, zeros);
    const DeviceMatrix v(ops, 5, 1, {1.0f, 2.0f, 4.0f, 100.0f, 200.0f});
    const DeviceMatrix out(ops, 5, 1);
    const RelativeAttention attention{1,    2, upload(ops, {1.0f}), 1.0f, upload(ops, {0.0f, 0.0f}),
                                      50.0f};
    const RowSpan clips[] = {{0, 3}, {3, 5}};
    ops.relative_attention(q.view, k.view, v.view, attention, clips, out.view);
    CHECK(relative_error(out.host(), {1.0f, 1.5f, 3.0f, 100.0f, 150.0f}) < 1e-6);
  });
}

TEST_CASE("light_conv matches the reference across clips") {
  on_each_backend([](Ops& ops) {
    for (const int64_t channels : {6, 48, 100}) {
      const std::vector<RowSpan> clips = {{0, 1}, {1, 4}, {4, 24}};
      Random random(8);
      const std::vector<float> x = random.normals(24 * 2 * channels);
      const std::vector<float> kernel = random.normals(5 * channels);
      const std::vector<float> norm = random.normals(channels);
      check_against_reference(
          ops,
          [&](Ops& o) {
            const LightConv conv{5, upload(o, kernel), upload(o, norm), kEps};
            const DeviceMatrix in(o, 24, 2 * channels, x);
            const DeviceMatrix out(o, 24, channels);
            o.light_conv(in.view, conv, clips, out.view);
            return out.host();
          },
          1e-5);
    }
  });
}

TEST_CASE("light_conv gates the first half of a row by the second, and looks back only") {
  on_all_backends([](Ops& ops) {
    // Two channels, so that the norm leaves their ratio. Gates of 100 are open, of -100 shut.
    const DeviceMatrix x(ops, 3, 4,
                         {3, 4, 100, 100,    //
                          5, 5, -100, -100,  //
                          0, 0, 100, 100});
    const DeviceMatrix out(ops, 3, 2);
    // Taps of the row two before, one before, and the row itself.
    const LightConv conv{3, upload(ops, {1, 1, 10, 10, 100, 100}), upload(ops, {1, 1}), kEps};
    const RowSpan clip{0, 3};
    ops.light_conv(x.view, conv, {&clip, 1}, out.view);
    const auto silu = [](double v) { return static_cast<float>(v / (1.0 + std::exp(-v))); };
    const double rms = std::sqrt(12.5);  // of 3 and 4, whatever factor the tap has
    std::vector<float> expected;
    for (int r = 0; r < 3; ++r) {
      expected.push_back(silu(3 / rms));
      expected.push_back(silu(4 / rms));
    }
    CHECK(relative_error(out.host(), expected) < 1e-5);
  });
}

}  // namespace
}  // namespace gemma4
