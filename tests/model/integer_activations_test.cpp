// What int8 activations cost: the logits of quantised weights with them against those of the same
// weights with exact activations (ruling 2).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/converted_checkpoint.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

struct LogitError {
  double relative_rms;  // of the error, over the standard deviation of the exact logits
  double agreement;     // share of positions whose likeliest token is the same
};

double deviation(const std::vector<float>& values) {
  double sum = 0.0;
  double squares = 0.0;
  for (const float v : values) {
    sum += v;
    squares += static_cast<double>(v) * v;
  }
  const auto count = static_cast<double>(values.size());
  return std::sqrt(squares / count - sum / count * (sum / count));
}

LogitError compare(const std::vector<float>& got, const std::vector<float>& exact, size_t vocab) {
  const size_t rows = exact.size() / vocab;
  size_t agreeing = 0;
  for (size_t r = 0; r < rows; ++r) {
    const auto best = [&](const std::vector<float>& logits) {
      const auto row = logits.begin() + static_cast<ptrdiff_t>(r * vocab);
      return std::max_element(row, row + static_cast<ptrdiff_t>(vocab)) - row;
    };
    agreeing += best(got) == best(exact) ? 1 : 0;
  }
  return {difference(got.data(), exact.data(), exact.size()).rms / deviation(exact),
          static_cast<double>(agreeing) / static_cast<double>(rows)};
}

std::vector<float> logits(const ConvertedCheckpoint& checkpoint, const std::string& golden,
                          WeightFormat head, bool exact, int64_t chunk) {
  // The fixture's activations are exact where keys and values are float32; here these always are.
  DecoderFixture run(checkpoint.directory(), "cpu", exact ? Dtype::kF32 : Dtype::kBf16, 64, 1,
                     {.lm_head = head});
  run.kv_options.dtype = Dtype::kF32;
  run.reset();
  const SafetensorsFile file(golden_dir(golden) / "goldens.safetensors");
  return run.logits(ids_of(file, "input_ids"), chunk);
}

}  // namespace

TEST_CASE("int8 activations change the logits of quantised weights little") {
  struct Family {
    std::string golden;
    std::vector<std::string> keep;  // from int4: groups of 32 do not divide them
    double rms;
    double agreement;
  };
  const Family families[] = {{"text-e", {"*.per_layer_projection"}, 0.12, 0.75},
                             {"text-31b", {}, 0.12, 0.75},
                             {"text-moe", {"*.experts.*"}, 0.35, 0.6}};
  for (const auto& [golden, keep, most, least] : families) {
    for (const WeightFormat format : {WeightFormat::kInt8, WeightFormat::kInt4}) {
      CAPTURE(golden);
      CAPTURE(std::string(weight_format_name(format)));
      const bool int4 = format == WeightFormat::kInt4;
      const ConvertedCheckpoint checkpoint(golden,
                                           int4 ? QuantizeScheme::kW4A16 : QuantizeScheme::kInt8,
                                           32, int4 ? keep : std::vector<std::string>());
      const std::vector<float> exact = logits(checkpoint, golden, format, true, 64);
      for (const int64_t chunk : {64, 1}) {  // the kernels for many rows, and for few
        CAPTURE(chunk);
        const LogitError error =
            compare(logits(checkpoint, golden, format, false, chunk), exact, 512);
        MESSAGE(error.relative_rms, " of the logits' deviation, top-1 agreement ", error.agreement);
        CHECK(error.relative_rms > 1e-4);  // the activations were rounded
        CHECK(error.relative_rms < most);
        CHECK(error.agreement > least);
      }
    }
  }
}

}  // namespace gemma4
