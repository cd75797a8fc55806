#include "lib/quant/quantized_matrix.h"
#include "tests/kernels/op_fixture.h"

namespace gemma4 {
namespace {

struct Format {
  int bits;
  int64_t group;  // 0: one scale a row
  Dtype scale_dtype = Dtype::kBf16;
  CodePacking packing = CodePacking::kOffsetBinary;
  bool symmetric = true;
};

const Format kFormats[] = {
    {8, 0, Dtype::kBf16},  {8, 0, Dtype::kF32, CodePacking::kInt8},
    {8, 32, Dtype::kF16},  {4, 32, Dtype::kBf16},
    {4, 32, Dtype::kF32},  {4, 0, Dtype::kF32},
    {4, 64, Dtype::kBf16}, {2, 0, Dtype::kF32},
    {2, 32, Dtype::kBf16}, {4, 32, Dtype::kBf16, CodePacking::kOffsetBinary, false},
    {4, 16, Dtype::kBf16},
};

/// Random codes and scales (some of them negative), at odd addresses.
class QuantizedWeight {
 public:
  QuantizedWeight(Random random, int64_t rows, int64_t cols, const Format& format) {
    auto q = std::make_shared<QuantizedMatrix>();
    q->rows = rows;
    q->cols = cols;
    q->bits = format.bits;
    q->packing = format.packing;
    q->row_bytes = static_cast<size_t>((cols * format.bits + 31) / 32 * 4);
    codes_.resize(static_cast<size_t>(rows) * q->row_bytes + 1);
    for (uint8_t& byte : codes_) byte = static_cast<uint8_t>(random.below(256));
    q->codes = codes_.data() + 1;
    q->group_size = format.group == 0 ? cols : format.group;
    q->scale_dtype = format.scale_dtype;
    const size_t size = format.scale_dtype == Dtype::kF32 ? 4 : 2;
    const int64_t count = rows * q->groups();
    scales_.resize((static_cast<size_t>(count) + 1) * size);
    for (int64_t i = 0; i < count; ++i) {
      const float value = random.normal() * 0.1f;
      std::byte* to = scales_.data() + static_cast<size_t>(i + 1) * size;
      const uint16_t half =
          format.scale_dtype == Dtype::kBf16 ? to_bf16(value).bits : to_f16(value).bits;
      if (size == 4) std::memcpy(to, &value, 4);
      if (size == 2) std::memcpy(to, &half, 2);
    }
    q->scales = scales_.data() + size;
    if (!format.symmetric) {
      q->zero_point_packing = ZeroPointPacking::kInt8;
      for (int64_t i = 0; i < count; ++i) {
        zero_points_.push_back(
            static_cast<int8_t>(random.below(1 << format.bits) - (1 << (format.bits - 1))));
      }
      q->zero_points = zero_points_.data();
    }
    matrix = q;
    weight.name = "test";
    weight.rows = rows;
    weight.cols = cols;
    weight.quantized = q;
  }
  QuantizedWeight(const QuantizedWeight&) = delete;
  QuantizedWeight& operator=(const QuantizedWeight&) = delete;

  std::shared_ptr<QuantizedMatrix> matrix;
  Weight weight;

 private:
  std::vector<uint8_t> codes_;
  std::vector<std::byte> scales_;
  std::vector<int8_t> zero_points_;
};

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

/// Root mean square of the difference, relative to that of what is expected.
double rms_error(const std::vector<float>& got, const std::vector<float>& expected) {
  double squares = 0.0;
  double differences = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    squares += static_cast<double>(expected[i]) * expected[i];
    differences += std::pow(static_cast<double>(got[i]) - expected[i], 2.0);
  }
  return std::sqrt(differences / squares);
}

/// Activations that int8 in groups of 32 holds exactly: whole numbers up to 127 in every group.
std::vector<float> whole_numbers(Random& random, int64_t rows, int64_t cols) {
  std::vector<float> x(static_cast<size_t>(rows * cols));
  for (size_t i = 0; i < x.size(); ++i) {
    x[i] = i % 32 == 5 ? 127.0f : static_cast<float>(random.below(255) - 127);
  }
  return x;
}

void for_each_case(const std::function<void(const Format&, int64_t m, int64_t n, int64_t k)>& fn) {
  for (const Format& format : kFormats) {
    for (const int64_t m : {1, 2, 3, 7, 8, 9, 13, 40}) {
      for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{
               {1, 64}, {5, 32}, {33, 96}, {70, 256}, {40, 672}, {300, 1088}}) {
        if (format.group > k) continue;
        if (format.group == 64 && k % 64 != 0) continue;
        CAPTURE(format.bits);
        CAPTURE(format.group);
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        fn(format, m, n, k);
      }
    }
  }
}

TEST_CASE("with exact activations a quantised product is that of the dequantised weight") {
  on_each_backend([](Ops& ops) {
    for_each_case([&](const Format& format, int64_t m, int64_t n, int64_t k) {
      Random random(41);
      const QuantizedWeight weight(random, n, k, format);
      const std::vector<float> x = random.normals(m * k);
      check_against_reference(
          ops, [&](Ops& o) { return product(o, weight.weight, x, m); }, 1e-5);
    });
  });
}

TEST_CASE("integer products are exact where the activations are whole numbers") {
  const auto test = [](Ops& ops) {
    for_each_case([&](const Format& format, int64_t m, int64_t n, int64_t k) {
      Random random(42);
      const QuantizedWeight weight(random, n, k, format);
      const std::vector<float> x = whole_numbers(random, m, k);
      check_against_reference(
          ops, [&](Ops& o) { return product(o, weight.weight, x, m); }, 1e-5);
    });
  };
  on_each_backend(test, false);
}

TEST_CASE("integer activations cost less than one percent of the result") {
  const auto test = [](Ops& ops) {
    for_each_case([&](const Format& format, int64_t m, int64_t n, int64_t k) {
      if (n * m < 64) return;
      Random random(43);
      const QuantizedWeight weight(random, n, k, format);
      const std::vector<float> x = random.normals(m * k);
      const std::unique_ptr<Ops> reference = make_reference_ops();
      CHECK(rms_error(product(ops, weight.weight, x, m), product(*reference, weight.weight, x, m)) <
            0.01);
    });
  };
  on_each_backend(test, false);
}

TEST_CASE("a row's quantised product does not depend on the rows beside it, up to eight") {
  for (const bool exact : {false, true}) {
    const auto test = [](Ops& ops) {
      for (const Format& format : kFormats) {
        Random random(44);
        const QuantizedWeight weight(random, 70, 384, format);
        const std::vector<float> x = random.normals(8 * 384);
        const std::vector<float> first =
            product(ops, weight.weight, {x.begin(), x.begin() + 384}, 1);
        for (int64_t m = 2; m <= 8; ++m) {
          const std::vector<float> all =
              product(ops, weight.weight, {x.begin(), x.begin() + 384 * m}, m);
          CHECK(std::vector<float>(all.begin(), all.begin() + 70) == first);
        }
      }
    };
    on_each_backend(test, exact);
  }
}

TEST_CASE("static and dynamic activation schemes of a checkpoint are applied, exact or not") {
  for (const bool exact : {false, true}) {
    const auto test = [](Ops& ops) {
      for (const int bits : {2, 4, 8}) {
        for (const int64_t m : {1, 5, 30}) {
          for (const bool dynamic : {false, true}) {
            CAPTURE(bits);
            CAPTURE(m);
            CAPTURE(dynamic);
            Random random(45);
            const QuantizedWeight weight(random, 50, 160, {bits, 0, Dtype::kF32});
            const std::vector<float> x = random.normals(m * 160);
            weight.matrix->activation =
                dynamic ? ActivationScheme::kDynamicInt8 : ActivationScheme::kStaticInt8;
            weight.matrix->input_scale = dynamic ? 0.0f : 0.02f;  // clips some
            weight.matrix->output_scale = dynamic ? 0.0f : 0.05f;
            const std::vector<float> got = product(ops, weight.weight, x, m);

            // The same by definition: fake-quantised input, plain product, fake-quantised output.
            std::vector<float> rounded = x;
            for (int64_t r = 0; r < m; ++r) {
              float* row = rounded.data() + r * 160;
              float absmax = 0.0f;
              for (int i = 0; i < 160; ++i) absmax = std::max(absmax, std::abs(row[i]));
              const float scale = dynamic ? absmax / 127.5f : 0.02f;
              for (int i = 0; i < 160; ++i) {
                row[i] = std::nearbyint(std::clamp(row[i] / scale, -128.0f, 127.0f)) * scale;
              }
            }
            const QuantizedWeight plain(Random(45), 50, 160, {bits, 0, Dtype::kF32});
            const std::unique_ptr<Ops> reference = make_reference_ops();
            const std::vector<float> exact_out = product(*reference, plain.weight, rounded, m);
            for (size_t i = 0; i < got.size(); ++i) {
              if (dynamic) {
                CHECK(got[i] == doctest::Approx(exact_out[i]).epsilon(1e-4).scale(10.0));
                continue;
              }
              // On the grid, and at most one step from the value before rounding.
              CHECK(std::abs(got[i] / 0.05f - std::nearbyint(got[i] / 0.05f)) < 1e-3);
              const float clamped = std::clamp(exact_out[i], -128 * 0.05f, 127 * 0.05f);
              CHECK(std::abs(got[i] - clamped) < 0.5f * 0.05f * 1.01f);
            }
          }
        }
      }
    };
    on_each_backend(test, exact);
  }
}

TEST_CASE("several quantised weights that share an input, and an mlp of them") {
  const auto test = [](Ops& ops) {
    for (const int64_t m : {1, 6, 40}) {
      Random random(46);
      const QuantizedWeight gate(Random(46), 96, 64, {4, 32});
      const QuantizedWeight up(Random(46), 96, 64, {8, 0});
      const QuantizedWeight down(Random(46), 64, 96, {2, 0, Dtype::kF32});
      const std::vector<float> x = random.normals(m * 64, 0.3f);
      const auto mlp = [&](Ops& o) {
        const DeviceMatrix in(o, m, 64, x);
        const DeviceMatrix out(o, m, 64);
        o.gated_mlp(in.view, {gate.weight, up.weight, down.weight}, out.view);
        return out.host();
      };
      CHECK(rms_error(mlp(ops), mlp(*make_reference_ops())) < 0.03);
    }
  };
  on_each_backend(test, false);
}

TEST_CASE("rows of quantised tables are looked up") {
  on_each_backend([](Ops& ops) {
    for (const Format& format : kFormats) {
      Random random(47);
      const QuantizedWeight table(random, 9, 128, format);
      check_against_reference(ops, [&](Ops& o) {
        Step step;
        step.tokens = {3, 8, 0};
        step.positions = {0, 1, 2};
        step.sequences = {0, 0, 0};
        o.begin_step(step);
        Weight weight = table.weight;
        o.prepare(weight);
        const DeviceMatrix out(o, 3, 128);
        o.embed(step, weight, 11.0f, out.view);
        o.end_step(step);
        return out.host();
      });
    }
  });
}

}  // namespace
}  // namespace gemma4
