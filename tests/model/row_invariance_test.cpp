// On the CPU a row's logits do not depend on how many rows, up to 8, share its step: what drafts
// verified together give is what they would give one by one.
#include <doctest/doctest.h>

#include <cstring>

#include "lib/base/parallel.h"
#include "tests/support/decoder_fixture.h"

namespace gemma4 {
namespace {

std::vector<int32_t> made_up_ids(size_t count) {
  std::vector<int32_t> ids = {2};
  uint32_t state = 1;
  while (ids.size() < count) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(static_cast<int32_t>(110 + (state >> 16) % 95));
  }
  return ids;
}

}  // namespace

TEST_CASE("steps of 2 to 8 rows give each row the very logits of a step of its own") {
  set_num_threads(1);
  const std::vector<int32_t> ids = made_up_ids(150);
  for (const char* family : {"text-e", "text-e-f32", "text-e-causal", "text-31b", "text-moe"}) {
    for (const WeightFormat format :
         {WeightFormat::kStored, WeightFormat::kInt8, WeightFormat::kInt4}) {
      // int4's groups of 32 do not divide the widths of these two.
      const bool odd = family == std::string("text-e-causal") || family == std::string("text-moe");
      if (format == WeightFormat::kInt4 && odd) continue;
      for (const Dtype kv : {Dtype::kF32, Dtype::kBf16}) {
        DecoderFixture run(family, "cpu", kv, 64, 1, {format, format});
        const std::vector<float> one = run.logits(ids, 1);
        for (const int64_t rows : {2, 3, 5, 8}) {
          CAPTURE(family);
          CAPTURE(static_cast<int>(format));
          CAPTURE(rows);
          run.reset();
          const std::vector<float> several = run.logits(ids, rows);
          CHECK(std::memcmp(one.data(), several.data(), one.size() * sizeof(float)) == 0);
        }
      }
    }
  }
}

}  // namespace gemma4
