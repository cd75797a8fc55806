// Products of bf16 weights with activations rounded to bf16, and the choice between them and
// float32 ones.
#include <limits>

#include "kernels/cpu/amx_check.h"
#include "kernels/cpu/element.h"
#include "kernels/cpu/product_choice.h"
#include "kernels/product_report.h"
#include "tests/kernels/op_fixture.h"

#ifndef GEMMA4_CUDA_EMULATED
namespace gemma4 {
namespace {

using cpu::ProductPath;

std::unique_ptr<Ops> ops_with(ProductPath path) { return make_cpu_ops({.bf16_products = path}); }

/// Runs `test` on each path that this CPU has, which is none on some.
void on_each_bf16_path(const std::function<void(Ops&, ProductPath)>& test) {
  set_num_threads(2);
  std::vector<ProductPath> paths;
  if (cpu_features().avx512_bf16) paths.push_back(ProductPath::kBf16Dot);
  if (cpu_features().avx512) paths.push_back(ProductPath::kOneDnn);
  if (paths.size() < 2) MESSAGE("SKIPPED in part: this CPU has no AVX512-BF16");
  for (const ProductPath path : paths) {
    CAPTURE(cpu::product_path_name(path));
    test(*ops_with(path), path);
  }
}

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

std::vector<float> rounded(std::vector<float> values) {
  for (float& value : values) value = round_to_bf16(value);
  return values;
}

TEST_CASE("bf16 products are the reference's on activations rounded to bf16, odd sizes") {
  on_each_bf16_path([](Ops& ops, ProductPath path) {
    const std::unique_ptr<Ops> reference = make_reference_ops();
    for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 31, 70}) {
      for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{{1, 1},
                                                                         {3, 5},
                                                                         {16, 16},
                                                                         {48, 80},
                                                                         {33, 31},
                                                                         {100, 257},
                                                                         {65, 530},
                                                                         {7, 1537},
                                                                         {130, 3201}}) {
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        Random random(static_cast<unsigned>(m * 1000 + n));
        const TestWeight weight(random, n, k, Dtype::kBf16);
        const std::vector<float> x = random.normals(m * k);
        const bool rounds = path == ProductPath::kBf16Dot || m > cpu::kMatvecRows;
        const std::vector<float> expected =
            product(*reference, weight.weight, rounds ? rounded(x) : x, m);
        CHECK(relative_error(product(ops, weight.weight, x, m), expected) < 1e-5);
      }
    }
  });
}

TEST_CASE("only bf16 weights have their activations rounded") {
  on_each_bf16_path([](Ops& ops, ProductPath) {
    Random random(5);
    const std::unique_ptr<Ops> reference = make_reference_ops();
    for (const Dtype dtype : {Dtype::kF32, Dtype::kF16}) {
      for (const int64_t m : {1, 20}) {
        const TestWeight weight(random, 40, 100, dtype);
        const std::vector<float> x = random.normals(m * 100);
        CHECK(relative_error(product(ops, weight.weight, x, m),
                             product(*reference, weight.weight, x, m)) < 1e-5);
      }
    }
  });
}

TEST_CASE("weights of several formats that share an input all get it as they need it") {
  on_each_bf16_path([](Ops& ops, ProductPath) {
    const std::unique_ptr<Ops> reference = make_reference_ops();
    for (const int64_t m : {1, 9, 20}) {
      Random random(6);
      const TestWeight a(random, 40, 72, Dtype::kBf16);
      const TestWeight b(random, 7, 72, Dtype::kF32);
      const TestWeight c(random, 33, 72, Dtype::kBf16);
      const std::vector<float> x = rounded(random.normals(m * 72));
      const DeviceMatrix in(ops, m, 72, x);
      const DeviceMatrix out_a(ops, m, 40), out_b(ops, m, 7), out_c(ops, m, 33);
      const std::vector<LinearTarget> targets = {
          {&a.weight, out_a.view}, {&b.weight, out_b.view}, {&c.weight, out_c.view}};
      ops.linear(in.view, targets);
      CHECK(relative_error(out_a.host(), product(*reference, a.weight, x, m)) < 1e-5);
      CHECK(relative_error(out_b.host(), product(*reference, b.weight, x, m)) < 1e-5);
      CHECK(relative_error(out_c.host(), product(*reference, c.weight, x, m)) < 1e-5);
    }
  });
}

TEST_CASE("a row's bf16 dot product does not depend on the rows beside it, few or many") {
  if (!cpu_features().avx512_bf16) {
    MESSAGE("SKIPPED: this CPU has no AVX512-BF16");
    return;
  }
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    const auto ops = ops_with(ProductPath::kBf16Dot);
    for (const int64_t k : {333, 1536, 2050}) {
      Random random(7);
      const TestWeight weight(random, 133, k, Dtype::kBf16);
      const std::vector<float> x = random.normals(64 * k);
      const std::vector<float> all = product(*ops, weight.weight, x, 64);
      for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 17, 63}) {
        CAPTURE(k);
        CAPTURE(m);
        const std::vector<float> some =
            product(*ops, weight.weight, {x.begin(), x.begin() + m * k}, m);
        CHECK(std::memcmp(some.data(), all.data(), some.size() * sizeof(float)) == 0);
      }
    }
  }
}

TEST_CASE("infinities and NaN come through bf16 products, denormals vanish") {
  if (!cpu_features().avx512_bf16) {
    MESSAGE("SKIPPED: this CPU has no AVX512-BF16");
    return;
  }
  const auto ops = ops_with(ProductPath::kBf16Dot);
  constexpr int64_t kCols = 37;
  const std::vector<uint16_t> ones(kCols, 0x3F80);
  Weight weight;
  weight.rows = 1;
  weight.cols = kCols;
  weight.dense = {ones.data(), Dtype::kBf16, {1, kCols}};
  for (const int64_t m : {1, 12}) {
    for (const int64_t at : {0, 36}) {
      const auto with = [&](float value) {
        std::vector<float> x(static_cast<size_t>(m * kCols), 0.0f);
        for (int64_t r = 0; r < m; ++r) x[static_cast<size_t>(r * kCols + at)] = value;
        return product(*ops, weight, x, m).back();
      };
      CHECK(with(INFINITY) == INFINITY);
      CHECK(with(-INFINITY) == -INFINITY);
      CHECK(std::isnan(with(std::nanf(""))));
      CHECK(with(std::numeric_limits<float>::max()) == INFINITY);  // rounds to it
      CHECK(with(1e-40f) == 0.0f);
      CHECK(with(0x1p-126f) == 0x1p-126f);
    }
  }
}

TEST_CASE("exact activations are never rounded, whatever product is asked for") {
  set_num_threads(2);
  Random random(8);
  const TestWeight weight(random, 50, 300, Dtype::kBf16);
  const std::unique_ptr<Ops> reference = make_reference_ops();
  for (const int64_t m : {1, 30}) {
    const std::vector<float> x = random.normals(m * 300);
    for (const std::optional<ProductPath> path :
         {std::optional<ProductPath>(), std::optional(ProductPath::kBf16Dot)}) {
      const auto ops = make_cpu_ops({.exact_activations = true, .bf16_products = path});
      CHECK(product_report(*ops, weight.weight).method == "fma");
      CHECK(product_report(*ops, weight.weight).rates.empty());
      CHECK(relative_error(product(*ops, weight.weight, x, m),
                           product(*reference, weight.weight, x, m)) < 1e-5);
    }
  }
}

TEST_CASE("the fastest product is chosen, but rounding must be worth a quarter") {
  using Rates = std::vector<std::pair<ProductPath, double>>;
  CHECK(cpu::fastest_path({}) == ProductPath::kFma);
  CHECK(cpu::fastest_path(Rates{{ProductPath::kFma, 117}, {ProductPath::kBf16Dot, 235}}) ==
        ProductPath::kBf16Dot);
  CHECK(cpu::fastest_path(Rates{{ProductPath::kFma, 227}, {ProductPath::kBf16Dot, 113}}) ==
        ProductPath::kFma);
  CHECK(cpu::fastest_path(Rates{{ProductPath::kFma, 100}, {ProductPath::kBf16Dot, 120}}) ==
        ProductPath::kFma);
  CHECK(cpu::fastest_path(Rates{
            {ProductPath::kFma, 100}, {ProductPath::kBf16Dot, 50}, {ProductPath::kOneDnn, 900}}) ==
        ProductPath::kOneDnn);
  CHECK(cpu::fastest_path(Rates{
            {ProductPath::kFma, 100}, {ProductPath::kBf16Dot, 200}, {ProductPath::kOneDnn, 150}}) ==
        ProductPath::kBf16Dot);
}

TEST_CASE("without a wish the measured choice serves bf16 weights and is reported") {
  Random random(9);
  const TestWeight weight(random, 4, 8, Dtype::kBf16);
  const ProductReport report = product_report(*make_cpu_ops({}), weight.weight);
  CHECK(report.method == cpu::product_path_name(cpu::product_choice().path));
  CHECK(report.rates.size() == cpu::product_choice().rates.size());
  CHECK(report.rates.empty() == !cpu_features().avx512_bf16);
  for (const auto& [method, rate] : report.rates) CHECK(rate > 0.0);
  const auto lesser = make_cpu_ops({.at_most = CpuLevel::kAvx2});
  CHECK(product_report(*lesser, weight.weight).method == "fma");
  CHECK(product_report(*lesser, weight.weight).rates.empty());
}

}  // namespace
}  // namespace gemma4
#endif
