#include "lib/quant/quantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "tests/quant/quant_vectors.h"

namespace gemma4 {
namespace {

std::vector<Bf16> gaussian(size_t count, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<Bf16> values(count);
  for (Bf16& value : values) value = to_bf16(normal(random));
  return values;
}

Tensor matrix_of(const std::vector<Bf16>& values, int64_t rows) {
  return {values.data(), Dtype::kBf16, {rows, static_cast<int64_t>(values.size()) / rows}};
}

std::vector<uint8_t> all_bytes(const QuantizedMatrix& matrix) {
  std::vector<uint8_t> bytes(matrix.codes,
                             matrix.codes + static_cast<size_t>(matrix.rows) * matrix.row_bytes);
  const auto* scales = static_cast<const uint8_t*>(matrix.scales);
  bytes.insert(bytes.end(), scales,
               scales + matrix.rows * matrix.groups() * dtype_bits(matrix.scale_dtype) / 8);
  return bytes;
}

TEST_CASE("errors on Gaussian weights are those of the rule") {
  const std::vector<Bf16> values = gaussian(64 * 2048);
  const Tensor weight = matrix_of(values, 64);
  const QuantizeResult int8 = quantize(weight, kInt8PerChannel, "w");
  CHECK(int8.relative_error == doctest::Approx(0.0083).epsilon(0.05));
  const QuantizeResult int4 = quantize(weight, kInt4Group32, "w");
  CHECK(int4.relative_error == doctest::Approx(0.0948).epsilon(0.03));
  CHECK_FALSE(int4.used_grid);
  CHECK(int4.on_grid == 0.0);
}

TEST_CASE("the same bytes come out for any number of threads") {
  const std::vector<Bf16> values = gaussian(100 * 96);
  const Tensor weight = matrix_of(values, 100);
  const int threads = num_threads();
  for (const QuantizeFormat& format :
       {kInt8PerChannel, kInt4Group32,
        QuantizeFormat{.bits = 4, .group_size = 32, .symmetric = false}}) {
    set_num_threads(1);
    const QuantizeResult one = quantize(weight, format, "w");
    set_num_threads(16);
    const QuantizeResult many = quantize(weight, format, "w");
    set_num_threads(threads);
    CHECK(all_bytes(*one.matrix) == all_bytes(*many.matrix));
    CHECK(one.relative_error == many.relative_error);
    for (int64_t row = 0; row < 100; ++row) {
      CHECK(zero_point_at(*one.matrix, row, 1) == zero_point_at(*many.matrix, row, 1));
    }
  }
}

TEST_CASE("weights at an odd address quantise alike") {
  const std::vector<Bf16> values = gaussian(8 * 64);
  std::vector<std::byte> shifted(values.size() * 2 + 1);
  std::memcpy(shifted.data() + 1, values.data(), values.size() * 2);
  const Tensor odd{shifted.data() + 1, Dtype::kBf16, {8, 64}};
  CHECK(all_bytes(*quantize(odd, kInt4Group32, "w").matrix) ==
        all_bytes(*quantize(matrix_of(values, 8), kInt4Group32, "w").matrix));
}

TEST_CASE("a row narrower than a group has one scale") {
  const std::vector<Bf16> values = gaussian(4 * 16);
  const QuantizeResult result = quantize(matrix_of(values, 4), kInt4Group32, "w");
  CHECK(result.matrix->groups() == 1);
}

TEST_CASE("what cannot be quantised is refused, naming the tensor") {
  const std::vector<Bf16> values = gaussian(4 * 48);
  CHECK_THROWS_WITH_AS(quantize(matrix_of(values, 4), kInt4Group32, "layer.weight"),
                       doctest::Contains("layer.weight"), Error);
  CHECK_THROWS_WITH_AS(quantize(matrix_of(values, 4),
                                {.bits = 4, .group_size = 16, .rule = RoundingRule::kGrid}, "w"),
                       doctest::Contains("grid"), Error);
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<Bf16> damaged = gaussian(4 * 64);
    damaged[70] = to_bf16(bad);
    CHECK_THROWS_WITH_AS(quantize(matrix_of(damaged, 4), kInt8PerChannel, "w"),
                         doctest::Contains("NaN"), Error);
  }
  const Tensor integers{values.data(), Dtype::kI16, {4, 48}};
  CHECK_THROWS_WITH_AS(quantize(integers, kInt8PerChannel, "w"), doctest::Contains("I16"), Error);
}

TEST_CASE("a QAT matrix with a few stray groups keeps its grid, min-max takes the rest") {
  std::mt19937 random(3);
  std::uniform_int_distribution<int> code(-8, 7);
  std::vector<Bf16> values(128 * 64);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = to_bf16(static_cast<float>(code(random)) * 0.01171875f);
  }
  const std::vector<Bf16> stray = gaussian(32);
  std::copy(stray.begin(), stray.end(), values.begin() + 64);
  const QuantizeResult result = quantize(matrix_of(values, 128), kInt4Group32, "w");
  CHECK(result.used_grid);
  CHECK(result.on_grid == doctest::Approx(255.0 / 256.0));
  const std::vector<float> out = dequantized(*result.matrix);
  CHECK(out[0] == to_float(values[0]));
  CHECK(out[100] == doctest::Approx(to_float(values[100])).epsilon(1e-6));
}

}  // namespace
}  // namespace gemma4
