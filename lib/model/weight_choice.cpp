#include "lib/model/weight_choice.h"

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/base/scalar_types.h"
#include "lib/quant/quantize.h"

namespace gemma4 {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"stored", "bf16", "int8", "int4"};

float dense_element(const Tensor& tensor, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  if (tensor.dtype == Dtype::kF32) {
    float value;
    std::memcpy(&value, bytes + static_cast<size_t>(index) * 4, 4);
    return value;
  }
  F16 value;
  std::memcpy(&value, bytes + static_cast<size_t>(index) * 2, 2);
  return to_float(value);
}

Weight to_bf16_weight(Weight weight) {
  if (!weight.quantized && weight.dense.dtype == Dtype::kBf16) return weight;
  auto values = std::make_shared<std::vector<Bf16>>(static_cast<size_t>(weight.rows * weight.cols));
  parallel_ranges(weight.rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(weight.cols));
    for (int64_t n = begin; n < end; ++n) {
      if (weight.quantized) {
        dequantize_row(*weight.quantized, n, row.data());
      } else {
        for (int64_t k = 0; k < weight.cols; ++k) {
          row[static_cast<size_t>(k)] = dense_element(weight.dense, n * weight.cols + k);
        }
      }
      Bf16* out = values->data() + n * weight.cols;
      for (int64_t k = 0; k < weight.cols; ++k) out[k] = to_bf16(row[static_cast<size_t>(k)]);
    }
  });
  weight.quantized.reset();
  weight.dense = {values->data(), Dtype::kBf16, {weight.rows, weight.cols}};
  weight.owner = std::move(values);
  return weight;
}

}  // namespace

WeightFormat weight_format_from_name(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<WeightFormat>(i);
  }
  throw Error(ErrorKind::kUsage, "unknown weight format", name, "use stored, bf16, int8 or int4");
}

std::string_view weight_format_name(WeightFormat format) {
  return kNames[static_cast<size_t>(format)];
}

Weight convert_weight(Weight weight, WeightFormat format) {
  switch (format) {
    case WeightFormat::kStored:
      return weight;
    case WeightFormat::kBf16:
      return to_bf16_weight(std::move(weight));
    case WeightFormat::kInt8:
    case WeightFormat::kInt4:
      break;
  }
  if (weight.quantized) return weight;
  QuantizeFormat how = format == WeightFormat::kInt8 ? kInt8PerChannel : kInt4Group32;
  weight.quantized = quantize(weight.dense, how, weight.name).matrix;
  weight.dense = {};
  weight.owner.reset();
  return weight;
}

}  // namespace gemma4
