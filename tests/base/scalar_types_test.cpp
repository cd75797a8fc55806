#include "lib/base/scalar_types.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

namespace gemma4 {

TEST_CASE("every f16 value survives the way to float32 and back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const F16 value{static_cast<uint16_t>(bits)};
    const float wide = to_float(value);
    if (std::isnan(wide)) continue;
    REQUIRE(to_f16(wide).bits == value.bits);
  }
}

TEST_CASE("every bf16 value survives the way to float32 and back") {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const Bf16 value{static_cast<uint16_t>(bits)};
    const float wide = to_float(value);
    if (std::isnan(wide)) continue;
    REQUIRE(to_bf16(wide).bits == value.bits);
  }
}

TEST_CASE("rounding is to nearest, ties to even") {
  CHECK(round_to_bf16(39.191837f) == 39.25f);  // sqrt(1536): the embedding scale of E2B
  CHECK(round_to_bf16(1.00390625f) == 1.0f);
  CHECK(round_to_bf16(1.01171875f) == 1.015625f);
  CHECK(to_f16(65519.0f).bits == 0x7BFF);
  CHECK(to_f16(65520.0f).bits == 0x7C00);
  CHECK(to_f16(0x1p-25f).bits == 0);
  CHECK(to_f16(0x1.8p-25f).bits == 1);
  CHECK(std::isnan(to_float(to_bf16(std::numeric_limits<float>::quiet_NaN()))));
  CHECK(std::isnan(to_float(to_f16(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace gemma4
