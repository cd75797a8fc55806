// --weights and --lm-head: what becomes of a checkpoint's matrices while they are loaded.
#pragma once

#include <cstdint>
#include <string_view>

#include "kernels/weight.h"

namespace gemma4 {

enum class WeightFormat : uint8_t {
  kStored,  // as the checkpoint has them
  kBf16,
  kInt8,  // one scale a row (ruling 10)
  kInt4,  // one scale for 32 columns (ruling 11)
};

/// "stored", "bf16", "int8", "int4". Throws Error(kUsage) for another name.
WeightFormat weight_format_from_name(std::string_view name);
std::string_view weight_format_name(WeightFormat format);

struct WeightChoice {
  WeightFormat linears = WeightFormat::kStored;  // linears of the text decoder, experts included
  WeightFormat lm_head = WeightFormat::kStored;  // the head; the embedding table stays as stored
};

/// `weight` in `format`; the result owns its bytes unless it is as stored. A matrix that is
/// already quantised is left as it is by kInt8 and kInt4, which would only lose precision, and
/// dequantised by kBf16. Throws Error(kModel) as quantize() does.
Weight convert_weight(Weight weight, WeightFormat format);

}  // namespace gemma4
