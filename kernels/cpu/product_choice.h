// How products with bf16 weights are computed on this CPU: what is fastest here, by a short
// measurement instead of a list of CPUs. (vdpbf16ps takes twice as many terms a second as float32
// FMA on AMD's Zen 4, and half as many on Intel's Emerald Rapids.)
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace gemma4::cpu {

enum class ProductPath : uint8_t {
  kFma,      // weights widened to float32, float32 activations
  kBf16Dot,  // activations rounded to bf16, AVX512-BF16
  kOneDnn,   // many rows as kBf16Dot, but by oneDNN with AMX; few rows as kFma
};

/// "fma", "bf16 dot", "oneDNN".
std::string_view product_path_name(ProductPath path);

struct ProductChoice {
  ProductPath path = ProductPath::kFma;
  /// 10^9 operations (a product and a sum are two) per second of one thread on operands that the
  /// caches hold, of each path that this CPU has; empty where it has but one.
  std::vector<std::pair<ProductPath, double>> rates;
};

/// The fastest, if it is faster than kFma by a quarter: less is not worth rounding activations.
ProductPath fastest_path(const std::vector<std::pair<ProductPath, double>>& rates);

/// The choice for this CPU, measured by the first call in this process: about 2 ms, and 30 ms more
/// where there is AMX to be checked (amx_check.h).
const ProductChoice& product_choice();

}  // namespace gemma4::cpu
