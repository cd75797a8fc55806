#include "kernels/cuda/weights.h"

#include <algorithm>
#include <cstring>

#include "lib/base/error.h"
#include "lib/base/scalar_types.h"

namespace gemma4::cuda {
namespace {

float dense_element(const Tensor& tensor, int64_t index) {
  const auto* bytes = static_cast<const std::byte*>(tensor.data);
  if (tensor.dtype == Dtype::kF32) {
    float value;
    std::memcpy(&value, bytes + index * 4, 4);
    return value;
  }
  if (tensor.dtype == Dtype::kBf16) {
    Bf16 value;
    std::memcpy(&value, bytes + index * 2, 2);
    return to_float(value);
  }
  F16 value;
  std::memcpy(&value, bytes + index * 2, 2);
  return to_float(value);
}

void float_row(const Weight& weight, int64_t row, float* out) {
  if (weight.quantized) {
    dequantize_row(*weight.quantized, row, out);
    return;
  }
  for (int64_t k = 0; k < weight.cols; ++k) {
    out[k] = dense_element(weight.dense, row * weight.cols + k);
  }
}

void pack_codes(const QuantizedMatrix& q, WeightForm form, int64_t row, uint8_t* codes) {
  const int bits = bits_of(form);
  const int64_t padded = padded_cols(q.cols);
  std::vector<int8_t> values(static_cast<size_t>(padded), 0);
  unpack_codes(q, row, values.data());
  std::fill(values.begin() + q.cols, values.end(), int8_t{0});
  std::vector<uint32_t> words(static_cast<size_t>(padded * bits / 32), 0);
  for (int64_t k = 0; k < padded; ++k) {
    words[static_cast<size_t>(code_word(bits, k))] |=
        stored_code(bits, values[static_cast<size_t>(k)]) << code_shift(bits, k);
  }
  std::memcpy(codes, words.data(), words.size() * sizeof(uint32_t));
}

void pack_scales(const QuantizedMatrix& q, WeightForm form, int64_t row, uint8_t* scales) {
  if (form != WeightForm::kInt4Grouped) {
    const float scale = scale_at(q, row, 0);
    std::memcpy(scales, &scale, sizeof(scale));
    return;
  }
  const int64_t groups = padded_cols(q.cols) / 32;
  for (int64_t g = 0; g < groups; ++g) {
    const float scale = g * 32 < q.cols ? scale_at(q, row, g * 32 / q.group_size) : 0.0f;
    const Bf16 narrow = to_bf16(scale);  // exact: see form_of
    std::memcpy(scales + g * 2, &narrow, 2);
  }
}

}  // namespace

StoredMatrix StoredMatrix::row_range(int64_t first, int64_t count) const {
  StoredMatrix part = *this;
  part.codes += first * packed_row_bytes(form, cols);
  if (scales != nullptr) {
    part.scales = static_cast<const uint8_t*>(scales) + first * scale_row_bytes(form, cols);
  }
  part.rows = static_cast<int32_t>(count);
  return part;
}

WeightForm form_of(const Weight& weight, bool exact) {
  if (!weight.quantized) {
    switch (weight.dense.dtype) {
      case Dtype::kBf16:
        return WeightForm::kBf16;
      case Dtype::kF32:
      case Dtype::kF16:
        return WeightForm::kF32;
      default:
        throw Error(ErrorKind::kModel, "weight is not of a float type", weight.name,
                    std::string(dtype_name(weight.dense.dtype)));
    }
  }
  const QuantizedMatrix& q = *weight.quantized;
  if (q.symmetric() && q.per_channel()) {
    if (q.bits == 8) return WeightForm::kInt8;
    if (q.bits == 4) return WeightForm::kInt4;
    if (q.bits == 2) return WeightForm::kInt2;
  }
  if (q.symmetric() && q.bits == 4 && q.group_size % 32 == 0 && q.scale_dtype == Dtype::kBf16) {
    return WeightForm::kInt4Grouped;
  }
  return exact ? WeightForm::kF32 : WeightForm::kBf16;
}

void pack_row(const Weight& weight, WeightForm form, int64_t row, uint8_t* codes, uint8_t* scales) {
  if (is_coded(form)) {
    pack_codes(*weight.quantized, form, row, codes);
    pack_scales(*weight.quantized, form, row, scales);
    return;
  }
  const auto row_bytes = static_cast<size_t>(packed_row_bytes(form, weight.cols));
  if (!weight.quantized && form == WeightForm::kBf16) {
    const auto bytes = static_cast<size_t>(weight.cols) * 2;
    std::memcpy(codes,
                static_cast<const std::byte*>(weight.dense.data) + static_cast<size_t>(row) * bytes,
                bytes);
    std::memset(codes + bytes, 0, row_bytes - bytes);
    return;
  }
  std::vector<float> values(static_cast<size_t>(padded_cols(weight.cols)), 0.0f);
  float_row(weight, row, values.data());
  if (form == WeightForm::kF32) {
    std::memcpy(codes, values.data(), row_bytes);
    return;
  }
  for (size_t k = 0; k < values.size(); ++k) {
    const Bf16 narrow = to_bf16(values[k]);
    std::memcpy(codes + 2 * k, &narrow, 2);
  }
}

}  // namespace gemma4::cuda
