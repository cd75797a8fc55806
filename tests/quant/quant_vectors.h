// Reading the vector files of tests/vectors/quant.
#pragma once

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "lib/base/scalar_types.h"
#include "lib/io/safetensors.h"
#include "lib/quant/quantized_matrix.h"
#include "lib/quant/rounding.h"
#include "lib/quant/weight_reader.h"
#include "tests/support/golden_files.h"

namespace gemma4 {

inline SafetensorsFile quant_vector(const std::string& name) {
  return SafetensorsFile(vector_path("quant/" + name + ".safetensors"));
}

inline Tensor tensor_of(const SafetensorsFile& file, const std::string& name) {
  const auto tensor = file.find(name);
  REQUIRE_MESSAGE(tensor.has_value(), name);
  return *tensor;
}

inline TensorFinder finder(const SafetensorsFile& file) {
  return [&file](std::string_view name) -> const Tensor* {
    const auto found = file.tensors().find(name);
    return found == file.tensors().end() ? nullptr : &found->second;
  };
}

template <typename T>
std::vector<T> values_of(const Tensor& tensor) {
  std::vector<T> values(static_cast<size_t>(tensor.elements()));
  REQUIRE(values.size() * sizeof(T) == tensor.bytes());
  std::memcpy(values.data(), tensor.data, tensor.bytes());
  return values;
}

/// F32, BF16 or F16, widened.
inline std::vector<float> floats_of(const Tensor& tensor) {
  if (tensor.dtype == Dtype::kF32) return values_of<float>(tensor);
  std::vector<float> values;
  for (const uint16_t bits : values_of<uint16_t>(tensor)) {
    values.push_back(tensor.dtype == Dtype::kBf16 ? to_float(Bf16{bits}) : to_float(F16{bits}));
  }
  return values;
}

inline std::vector<int8_t> codes_of(const QuantizedMatrix& matrix) {
  std::vector<int8_t> codes(static_cast<size_t>(matrix.rows * matrix.cols));
  for (int64_t row = 0; row < matrix.rows; ++row) {
    unpack_codes(matrix, row, codes.data() + row * matrix.cols);
  }
  return codes;
}

/// Dequantised values, each rounded to `dtype`.
inline std::vector<float> dequantized(const QuantizedMatrix& matrix, Dtype dtype = Dtype::kF32) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  for (int64_t row = 0; row < matrix.rows; ++row) {
    dequantize_row(matrix, row, values.data() + row * matrix.cols);
  }
  for (float& value : values) value = round_to(dtype, value);
  return values;
}

/// A compressed-tensors config.json with one group for all linears.
inline Json one_group_config(int bits, int64_t group_size, bool symmetric,
                             const std::string& format) {
  Json weights = {{"num_bits", bits}, {"type", "int"}, {"symmetric", symmetric}};
  weights["strategy"] = group_size > 0 ? "group" : "channel";
  weights["group_size"] = group_size > 0 ? Json(group_size) : Json(nullptr);
  return {{"quantization_config",
           {{"quant_method", "compressed-tensors"},
            {"format", format},
            {"config_groups", {{"group_0", {{"targets", {"Linear"}}, {"weights", weights}}}}}}}};
}

/// The config that the metadata of a ct_* file describes.
inline Json config_of(const SafetensorsFile& file) {
  const auto& metadata = file.metadata();
  const auto symmetric = metadata.find("symmetric");
  const auto group_size = metadata.find("group_size");
  return one_group_config(std::stoi(metadata.at("num_bits")),
                          group_size == metadata.end() ? 0 : std::stoll(group_size->second),
                          symmetric == metadata.end() || symmetric->second == "true",
                          metadata.at("format"));
}

/// A finder that prefixes every name, for files whose tensors have no module name: "linear.weight"
/// finds "weight".
inline TensorFinder finder_as_module(const SafetensorsFile& file, const std::string& module) {
  return [find = finder(file), module](std::string_view name) -> const Tensor* {
    if (!name.starts_with(module + ".")) return nullptr;
    return find(name.substr(module.size() + 1));
  };
}

}  // namespace gemma4
