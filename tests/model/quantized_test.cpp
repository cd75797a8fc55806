// Checkpoints that our own converter writes, end to end: the CPU backend on the stored codes
// against the reference on the dequantised weights (ruling 13).
#include <doctest/doctest.h>

#include <cstring>

#include "kernels/reference/reference_ops.h"
#include "tests/support/converted_checkpoint.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

// rms(a - b) / rms(b) over all values of two weights.
double relative_error(const Weight& a, const Weight& b) {
  double error = 0.0;
  double size = 0.0;
  std::vector<float> x(static_cast<size_t>(a.cols));
  std::vector<float> y(x.size());
  for (int64_t n = 0; n < b.rows; ++n) {
    reference::weight_row(a, n, x.data());
    reference::weight_row(b, n, y.data());
    for (size_t k = 0; k < x.size(); ++k) {
      error += (x[k] - y[k]) * (x[k] - y[k]);
      size += y[k] * y[k];
    }
  }
  return std::sqrt(error / size);
}

}  // namespace

TEST_CASE("every converted expert is close to its own source") {
  const ConvertedCheckpoint converted("text-moe", QuantizeScheme::kInt8, 32);
  DecoderFixture now(converted.directory(), "reference", Dtype::kF32);
  DecoderFixture before("text-moe", "reference", Dtype::kF32);
  for (size_t l = 0; l < before.decoder->weights().layers.size(); ++l) {
    const auto& a = now.decoder->weights().layers[l].experts;
    const auto& b = before.decoder->weights().layers[l].experts;
    REQUIRE(a.size() == b.size());
    for (size_t e = 0; e < b.size(); ++e) {
      CHECK(relative_error(a[e].gate, b[e].gate) < 0.01);
      CHECK(relative_error(a[e].up, b[e].up) < 0.01);
      CHECK(relative_error(a[e].down, b[e].down) < 0.01);
      CHECK(relative_error(a[e].gate, b[e].up) > 0.5);  // the check can tell them apart
    }
  }
}

TEST_CASE("converted checkpoints give the reference's logits on the dequantised weights") {
  for (const char* golden : {"text-e", "text-31b", "text-moe"}) {
    for (const QuantizeScheme scheme : {QuantizeScheme::kInt8, QuantizeScheme::kW4A16}) {
      CAPTURE(std::string(golden));
      CAPTURE(static_cast<int>(scheme));
      // The experts of text-moe are 48 wide: groups of 32 do not divide them.
      const ConvertedCheckpoint converted(golden, scheme, 16);
      const SafetensorsFile file(golden_dir(golden) / "goldens.safetensors");
      const std::vector<int32_t> ids = ids_of(file, "input_ids");
      DecoderFixture reference(converted.directory(), "reference", Dtype::kF32);
      DecoderFixture cpu(converted.directory(), "cpu", Dtype::kF32);
      const std::vector<float> expected = reference.logits(ids, 64);
      const std::vector<float> got = cpu.logits(ids, 64);
      const Difference d = difference(got.data(), expected.data(), expected.size());
      CHECK(d.max <= 1e-3);
      CHECK(d.rms <= 1e-4);
      // One token at a time takes the kernels for few rows.
      cpu.reset();
      const std::vector<float> single = cpu.logits(ids, 1);
      CHECK(difference(single.data(), expected.data(), expected.size()).max <= 1e-3);
      // The conversion is a real change, and a small one.
      const std::vector<float> original = floats_of(file, "logits");
      const Difference change = difference(expected.data(), original.data(), original.size());
      CHECK(change.rms > 1e-3);
      if (scheme == QuantizeScheme::kInt8 && std::string(golden) != "text-moe") {
        CHECK(change.rms < 0.5);  // a chosen expert that changes moves whole rows: see below
      }
    }
  }
}

TEST_CASE("weights converted while loading equal those that the converter writes") {
  const ConvertedCheckpoint converted("text-31b", QuantizeScheme::kInt8, 32);
  const SafetensorsFile file(golden_dir("text-31b") / "goldens.safetensors");
  const std::vector<int32_t> ids = ids_of(file, "input_ids");
  DecoderFixture stored(converted.directory(), "cpu", Dtype::kF32);
  DecoderFixture loaded("text-31b", "cpu", Dtype::kF32, 64, 1, {.linears = WeightFormat::kInt8});
  CHECK(stored.logits(ids, 64) == loaded.logits(ids, 64));
}

}  // namespace gemma4
