#include "lib/base/tensor.h"

#include <array>

namespace gemma4 {
namespace {

struct DtypeInfo {
  std::string_view name;
  int bits;
};

// Indexed by Dtype. Source: huggingface/safetensors:safetensors/src/tensor.rs.
constexpr std::array<DtypeInfo, 22> kDtypes = {{
    {"BOOL", 8},    {"U8", 8},          {"I8", 8},          {"F8_E4M3", 8}, {"F8_E5M2", 8},
    {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},
    {"F16", 16},    {"BF16", 16},       {"I32", 32},        {"U32", 32},    {"F32", 32},
    {"C64", 64},    {"F64", 64},        {"I64", 64},        {"U64", 64},    {"F4", 4},
    {"F6_E2M3", 6}, {"F6_E3M2", 6},
}};

}  // namespace

int dtype_bits(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].bits; }

std::string_view dtype_name(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)].name; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

int64_t Tensor::elements() const {
  int64_t count = 1;
  for (const int64_t dim : shape) count *= dim;
  return count;
}

size_t Tensor::bytes() const {
  return (static_cast<size_t>(elements()) * static_cast<size_t>(dtype_bits(dtype)) + 7) / 8;
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace gemma4
