#include "lib/quant/weight_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/quant/scale_check.h"

namespace gemma4 {
namespace {

constexpr int64_t kUnknownGroupSize = -1;
constexpr int64_t kMaxDimension = int64_t{1} << 40;  // so that dimension * bits cannot overflow

[[noreturn]] void fail(const std::string& what, const std::string& name,
                       const std::string& hint = "the checkpoint is damaged or misdescribed") {
  throw Error(ErrorKind::kModel, what, name, hint);
}

int64_t divide_up(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

void require_tensor(const Tensor& tensor, const std::string& name, Dtype dtype,
                    const std::vector<int64_t>& shape) {
  if (tensor.dtype != dtype) {
    fail("tensor has dtype " + std::string(dtype_name(tensor.dtype)), name,
         std::string(dtype_name(dtype)) + " is expected");
  }
  if (tensor.shape != shape) {
    fail("tensor has shape " + shape_text(tensor.shape), name, shape_text(shape) + " is expected");
  }
}

template <typename T>
T value_at(const Tensor& tensor, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const std::byte*>(tensor.data) + index * int64_t{sizeof(T)},
              sizeof(T));
  return value;
}

bool is_float(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kBf16 || dtype == Dtype::kF16;
}

/// A one-element activation scale; 0 means that the side is not quantised.
float activation_scale(const Tensor& tensor, const std::string& name) {
  if (!is_float(tensor.dtype) || tensor.elements() != 1) {
    fail("tensor has dtype " + std::string(dtype_name(tensor.dtype)) + " and shape " +
             shape_text(tensor.shape),
         name, "one F32 or BF16 number is expected");
  }
  QuantizedMatrix one;
  one.cols = 1;
  one.group_size = 1;
  one.scale_dtype = tensor.dtype;
  one.scales = tensor.data;
  const float scale = scale_at(one, 0, 0);
  if (!std::isfinite(scale) || scale < 0.0f) fail("activation scale is not a number >= 0", name);
  return scale;
}

}  // namespace

void attach_scales(const Tensor& tensor, const std::string& name, int64_t wanted_group_size,
                   QuantizedMatrix& matrix) {
  if (!is_float(tensor.dtype)) {
    fail("scales have dtype " + std::string(dtype_name(tensor.dtype)), name,
         "F32, BF16 or F16 is expected");
  }
  const bool one_a_row = tensor.shape == std::vector<int64_t>{matrix.rows};
  const bool is_matrix = tensor.shape.size() == 2 && tensor.shape[0] == matrix.rows;
  if (!one_a_row && !is_matrix) {
    fail("scales have shape " + shape_text(tensor.shape), name,
         "one row of scales for each of the " + std::to_string(matrix.rows) + " rows is expected");
  }
  const int64_t groups = one_a_row ? 1 : tensor.shape[1];
  if (groups <= 0 || matrix.cols % groups != 0) {
    fail("scales have shape " + shape_text(tensor.shape), name,
         std::to_string(groups) + " groups do not divide " + std::to_string(matrix.cols) +
             " columns");
  }
  matrix.group_size = matrix.cols / groups;
  if (wanted_group_size != kUnknownGroupSize) {
    // A matrix narrower than a group has one group.
    const int64_t wanted =
        wanted_group_size == 0 ? matrix.cols : std::min(wanted_group_size, matrix.cols);
    if (matrix.cols % wanted != 0) {
      fail("group_size " + std::to_string(wanted) + " does not divide " +
               std::to_string(matrix.cols) + " columns",
           name);
    }
    if (matrix.group_size != wanted) {
      fail("scales have shape " + shape_text(tensor.shape), name,
           "config.json says one scale for every " + std::to_string(wanted) + " columns");
    }
  }
  matrix.scale_dtype = tensor.dtype;
  matrix.scales = tensor.data;
  check_scales(tensor, name);
}

bool WeightReader::has(const std::string& module) const {
  return find_(module + ".weight") != nullptr || find_(module + ".weight_packed") != nullptr ||
         find_(module + ".embedding_quantized") != nullptr;
}

void WeightReader::warn_once(const std::string& disagreement) {
  if (!warned_) log_warning("config.json " + printable(disagreement) + "; going by the tensors");
  warned_ = true;
}

const Tensor& WeightReader::require(const std::string& name) const {
  const Tensor* tensor = find_(name);
  if (tensor == nullptr) fail("tensor is missing", name);
  return *tensor;
}

StoredMatrix WeightReader::read(const std::string& module, int64_t rows, int64_t cols) {
  if (rows <= 0 || cols <= 0 || rows > kMaxDimension || cols > kMaxDimension) {
    fail("matrix of " + std::to_string(rows) + " x " + std::to_string(cols), module);
  }
  const Tensor* plain = find_(module + ".weight");
  const Tensor* packed = find_(module + ".weight_packed");
  const Tensor* embedding = find_(module + ".embedding_quantized");
  if ((plain != nullptr) + (packed != nullptr) + (embedding != nullptr) > 1) {
    fail("module has its weight in two formats", module);
  }
  const Scheme scheme = config_.scheme_for(module);
  auto matrix = std::make_shared<QuantizedMatrix>();
  matrix->rows = rows;
  matrix->cols = cols;
  if (embedding != nullptr ||
      (plain != nullptr && config_.method() == QuantMethod::kGemma && !is_float(plain->dtype))) {
    if (config_.method() != QuantMethod::kGemma) {
      fail("Gemma mobile weights without quant_method \"gemma\"", module);
    }
    const std::string stem = embedding != nullptr ? ".embedding" : ".weight";
    const std::string codes = embedding != nullptr ? ".embedding_quantized" : ".weight";
    read_gemma(module + codes, module + stem + "_scale", scheme->bits, *matrix);
    read_activation_scales(module, scheme, ".input_activation_scale", ".output_activation_scale",
                           *matrix);
    return {{}, matrix};
  }
  if (packed != nullptr) {
    read_packed(module, scheme, *matrix);
    return {{}, matrix};
  }
  const Tensor& weight = require(module + ".weight");
  if (weight.dtype == Dtype::kI8) {
    read_int8(module, scheme, *matrix);
    return {{}, matrix};
  }
  if (!is_float(weight.dtype)) {
    const bool fp8 = weight.dtype == Dtype::kF8E4M3 || weight.dtype == Dtype::kF8E5M2;
    fail(std::string(fp8 ? "float-quantized weights are" : "weights of this dtype are") +
             " not supported (" + std::string(dtype_name(weight.dtype)) + ")",
         module + ".weight", "F32, BF16, F16, and int 2, 4 and 8 bits are");
  }
  require_tensor(weight, module + ".weight", weight.dtype, {rows, cols});
  if (config_.method() == QuantMethod::kCompressedTensors && scheme) {
    warn_once("says that " + module + " is quantised, but it is not");
  }
  if (find_(module + ".weight_scale") != nullptr) {
    fail("plain weight with a scale", module + ".weight_scale");
  }
  return {weight, nullptr};
}

void WeightReader::read_packed(const std::string& module, const Scheme& scheme,
                               QuantizedMatrix& matrix) {
  const std::string name = module + ".weight_packed";
  const Tensor& packed = require(name);
  if (packed.dtype == Dtype::kU8) {
    fail("format nvfp4-pack-quantized (or mxfp4) is not supported", name,
         "pack-quantized int 2, 4 and 8 bits is");
  }
  const std::string shape_name = module + ".weight_shape";
  const Tensor& shape = require(shape_name);
  require_tensor(shape, shape_name, shape.dtype == Dtype::kI32 ? Dtype::kI32 : Dtype::kI64, {2});
  const auto dim = [&](int64_t i) {
    return shape.dtype == Dtype::kI32 ? value_at<int32_t>(shape, i) : value_at<int64_t>(shape, i);
  };
  if (dim(0) != matrix.rows || dim(1) != matrix.cols) {
    fail("weight_shape says " + shape_text({dim(0), dim(1)}), shape_name,
         "config.json asks for " + shape_text({matrix.rows, matrix.cols}));
  }

  // The width of the packed words tells the bits.
  const auto words_for = [&](int bits) { return divide_up(matrix.cols * bits, 32); };
  if (scheme) {
    matrix.bits = scheme->bits;
  } else {
    warn_once("does not say how " + module + " is quantised");
    for (const int bits : {2, 4, 8}) {
      if (packed.shape.size() == 2 && packed.shape[1] == words_for(bits)) matrix.bits = bits;
    }
    if (matrix.bits == 0) {
      fail("packed weight has shape " + shape_text(packed.shape), name,
           "int 2, 4 and 8 bits are supported");
    }
  }
  require_tensor(packed, name, Dtype::kI32, {matrix.rows, words_for(matrix.bits)});
  matrix.packing = CodePacking::kOffsetBinary;
  matrix.codes = static_cast<const uint8_t*>(packed.data);
  matrix.row_bytes = static_cast<size_t>(words_for(matrix.bits)) * 4;
  const std::string scale_name = module + ".weight_scale";
  attach_scales(require(scale_name), scale_name, scheme ? scheme->group_size : kUnknownGroupSize,
                matrix);
  read_zero_points(module, scheme, matrix);
  check_group_index(module, matrix);
  read_activation_scales(module, scheme, ".input_scale", ".output_scale", matrix);
}

void WeightReader::read_int8(const std::string& module, const Scheme& scheme,
                             QuantizedMatrix& matrix) {
  const std::string name = module + ".weight";
  if (!scheme) {
    warn_once("does not say how " + module + " is quantised");
  } else if (scheme->bits != 8) {
    fail("int8 weight where config.json says " + std::to_string(scheme->bits) + " bits", name);
  }
  const Tensor& weight = require(name);
  require_tensor(weight, name, Dtype::kI8, {matrix.rows, matrix.cols});
  matrix.bits = 8;
  matrix.packing = CodePacking::kInt8;
  matrix.codes = static_cast<const uint8_t*>(weight.data);
  matrix.row_bytes = static_cast<size_t>(matrix.cols);
  const std::string scale_name = module + ".weight_scale";
  attach_scales(require(scale_name), scale_name, scheme ? scheme->group_size : kUnknownGroupSize,
                matrix);
  read_zero_points(module, scheme, matrix);
  check_group_index(module, matrix);
  read_activation_scales(module, scheme, ".input_scale", ".output_scale", matrix);
}

void WeightReader::read_gemma(const std::string& codes, const std::string& scales, int bits,
                              QuantizedMatrix& matrix) const {
  const Tensor& tensor = require(codes);
  const Dtype dtype = bits == 8 ? Dtype::kI8 : Dtype::kU8;
  const int64_t row_bytes = divide_up(matrix.cols * bits, 8);
  if (tensor.dtype != dtype || tensor.shape != std::vector<int64_t>{matrix.rows, row_bytes}) {
    fail("packed weight is " + std::string(dtype_name(tensor.dtype)) + " " +
             shape_text(tensor.shape),
         codes,
         "config.json says " + std::to_string(bits) + " bits, " + std::string(dtype_name(dtype)) +
             " " + shape_text({matrix.rows, row_bytes}));
  }
  matrix.bits = bits;
  matrix.packing = bits == 8 ? CodePacking::kInt8 : CodePacking::kOffsetBinary;
  matrix.codes = static_cast<const uint8_t*>(tensor.data);
  matrix.row_bytes = static_cast<size_t>(row_bytes);
  attach_scales(require(scales), scales, kUnknownGroupSize, matrix);
}

void WeightReader::read_zero_points(const std::string& module, const Scheme& scheme,
                                    QuantizedMatrix& matrix) const {
  const std::string name = module + ".weight_zero_point";
  const Tensor* tensor = find_(name);
  if (scheme && scheme->symmetric != (tensor == nullptr)) {
    fail(tensor == nullptr ? "tensor is missing, though config.json says symmetric false"
                           : "zero points, though config.json says symmetric",
         name);
  }
  if (tensor == nullptr) return;
  if (matrix.packing == CodePacking::kOffsetBinary) {
    require_tensor(*tensor, name, Dtype::kI32,
                   {divide_up(matrix.rows * matrix.bits, 32), matrix.groups()});
    matrix.zero_point_packing = ZeroPointPacking::kPackedRows;
  } else {
    if (tensor->shape != std::vector<int64_t>{matrix.rows} || matrix.groups() != 1) {
      require_tensor(*tensor, name, Dtype::kI8, {matrix.rows, matrix.groups()});
    } else {
      require_tensor(*tensor, name, Dtype::kI8, {matrix.rows});
    }
    matrix.zero_point_packing = ZeroPointPacking::kInt8;
  }
  matrix.zero_points = tensor->data;
}

void WeightReader::check_group_index(const std::string& module,
                                     const QuantizedMatrix& matrix) const {
  const std::string name = module + ".weight_g_idx";
  const Tensor* tensor = find_(name);
  if (tensor == nullptr) return;
  require_tensor(*tensor, name, Dtype::kI32, {matrix.cols});
  bool unset = true;
  bool in_order = true;
  for (int64_t k = 0; k < matrix.cols; ++k) {
    const int32_t group = value_at<int32_t>(*tensor, k);
    unset = unset && group == -1;
    in_order = in_order && group == k / matrix.group_size;
  }
  if (!unset && !in_order) {
    fail("columns in activation order (actorder \"group\") are not supported", name,
         "actorder \"weight\" or none is");
  }
}

void WeightReader::read_activation_scales(const std::string& module, const Scheme& scheme,
                                          const std::string& input, const std::string& output,
                                          QuantizedMatrix& matrix) const {
  const ActivationScheme wanted = scheme ? scheme->activation : ActivationScheme::kNone;
  for (const char* suffix : {".input_zero_point", ".output_zero_point"}) {
    if (find_(module + suffix) != nullptr) {
      fail("activation zero points are not supported", module + suffix, "symmetric scales are");
    }
  }
  const Tensor* input_scale = find_(module + input);
  const Tensor* output_scale = find_(module + output);
  if (wanted == ActivationScheme::kStaticInt8 &&
      (input_scale == nullptr || (scheme->quantizes_output && output_scale == nullptr))) {
    fail("tensor is missing, though config.json says static activations",
         module + (input_scale == nullptr ? input : output));
  }
  if (wanted == ActivationScheme::kDynamicInt8) {
    if (input_scale != nullptr || output_scale != nullptr) {
      fail("static activation scale, though config.json says dynamic",
           module + (input_scale != nullptr ? input : output));
    }
    matrix.activation = ActivationScheme::kDynamicInt8;
    return;
  }
  if (input_scale != nullptr) matrix.input_scale = activation_scale(*input_scale, module + input);
  if (output_scale != nullptr) {
    matrix.output_scale = activation_scale(*output_scale, module + output);
  }
  if (matrix.input_scale != 0.0f || matrix.output_scale != 0.0f) {
    matrix.activation = ActivationScheme::kStaticInt8;
  }
}

}  // namespace gemma4
