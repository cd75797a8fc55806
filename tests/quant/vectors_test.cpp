// Every vector file that ruling 13 lists decodes and encodes bit for bit.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>

#include "lib/base/error.h"
#include "lib/quant/activation_quant.h"
#include "lib/quant/fp8.h"
#include "lib/quant/kv_format.h"
#include "lib/quant/quantize.h"
#include "tests/quant/quant_vectors.h"

namespace gemma4 {
namespace {

StoredMatrix read_linear(const SafetensorsFile& file, int64_t rows, int64_t cols) {
  WeightReader reader(finder_as_module(file, "linear"), QuantizationConfig::parse(config_of(file)));
  return reader.read("linear", rows, cols);
}

/// Equal as bits, so that -0 and NaN count.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

bool same_bytes(const void* data, const Tensor& tensor) {
  return std::memcmp(data, tensor.data, tensor.bytes()) == 0;
}

TEST_CASE("pack-quantized files decode to their codes, zero points and values") {
  for (const std::string name :
       {"ct_edge_w4_g32_asym_f32",    "ct_edge_w4_g32_sym_bf16",    "ct_edge_w4_g32_sym_f32",
        "ct_w2_ch_asym_bf16_21x128",  "ct_w2_ch_sym_bf16_32x128",   "ct_w2_g32_asym_bf16_16x128",
        "ct_w2_g32_sym_f32_16x128",   "ct_w4_ch_sym_bf16_32x128",   "ct_w4_ch_sym_bf16_9x37",
        "ct_w4_g128_sym_bf16_16x128", "ct_w4_g32_asym_bf16_28x128", "ct_w4_g32_asym_f32_16x128",
        "ct_w4_g32_sym_bf16_32x128",  "ct_w4_g32_sym_f16_16x128",   "ct_w4_g32_sym_f32_32x128",
        "ct_w8_ch_asym_f32_16x128",   "ct_w8_ch_sym_bf16_32x128",   "ct_w8_g32_asym_bf16_19x128",
        "ct_w8_g32_sym_bf16_16x128",  "ct_w4_g32_negative_scales"}) {
    CAPTURE(name);
    const SafetensorsFile file = quant_vector(name);
    const Tensor expected = tensor_of(file, "dequant");
    const StoredMatrix stored = read_linear(file, expected.shape[0], expected.shape[1]);
    REQUIRE(stored.quantized);
    const QuantizedMatrix& matrix = *stored.quantized;
    CHECK(same_bits(dequantized(matrix, expected.dtype), floats_of(expected)));
    if (file.find("dequant_f32")) {
      CHECK(same_bits(dequantized(matrix), floats_of(tensor_of(file, "dequant_f32"))));
    }
    if (file.find("q_int8"))
      CHECK(codes_of(matrix) == values_of<int8_t>(tensor_of(file, "q_int8")));
    CHECK(matrix.symmetric() == !file.find("zero_point_int8").has_value());
    if (const auto zero_points = file.find("zero_point_int8")) {
      const std::vector<int8_t> wanted = values_of<int8_t>(*zero_points);
      for (int64_t i = 0; i < zero_points->elements(); ++i) {
        CHECK(zero_point_at(matrix, i / matrix.groups(), i % matrix.groups()) ==
              wanted[static_cast<size_t>(i)]);
      }
    }
  }
}

TEST_CASE("the min-max quantiser writes the bytes of compressed-tensors") {
  for (const auto& entry : std::filesystem::directory_iterator(vector_path("quant"))) {
    const std::string name = entry.path().stem().string();
    if (!name.starts_with("ct_w2") && !name.starts_with("ct_w4") && !name.starts_with("ct_w8") &&
        !name.starts_with("ct_edge")) {
      continue;
    }
    CAPTURE(name);
    const SafetensorsFile file = quant_vector(name);
    const auto input = file.find("weight_in");
    if (!input) {
      CHECK(name == "ct_w4_g32_negative_scales");
      continue;
    }
    const auto& metadata = file.metadata();
    QuantizeFormat format;
    format.bits = std::stoi(metadata.at("num_bits"));
    if (metadata.contains("group_size")) {
      format.group_size = std::max(0ll, std::stoll(metadata.find("group_size")->second));
    }
    format.symmetric = !file.find("weight_zero_point").has_value();
    const QuantizeResult result = quantize(*input, format, "weight_in");
    CHECK(same_bytes(result.matrix->scales, tensor_of(file, "weight_scale")));
    if (file.find("weight_packed")) {
      CHECK(same_bytes(result.matrix->codes, tensor_of(file, "weight_packed")));
    } else {  // int-quantized: the same codes, unpacked
      CHECK(codes_of(*result.matrix) == values_of<int8_t>(tensor_of(file, "weight")));
    }
    if (!format.symmetric) {
      CHECK(same_bytes(result.matrix->zero_points, tensor_of(file, "weight_zero_point")));
    }
  }
}

TEST_CASE("experts decode alike one by one and stacked") {
  const SafetensorsFile file = quant_vector("ct_experts_w4_g32_sym");
  const Tensor stacked = tensor_of(file, "stacked.dequant");
  const std::vector<float> expected = floats_of(stacked);
  const auto stacked_codes =
      values_of<uint8_t>({.data = tensor_of(file, "stacked.weight_packed").data,
                          .dtype = Dtype::kU8,
                          .shape = {3 * 16 * 8 * 4}});
  WeightReader reader(finder(file), QuantizationConfig::parse(config_of(file)));
  for (int64_t e = 0; e < 3; ++e) {
    const StoredMatrix stored = reader.read("experts." + std::to_string(e) + ".gate_proj", 16, 64);
    REQUIRE(stored.quantized);
    const std::vector<float> values = dequantized(*stored.quantized, Dtype::kBf16);
    CHECK(std::equal(values.begin(), values.end(), expected.begin() + e * 16 * 64));
    QuantizedMatrix slice = *stored.quantized;
    slice.codes = stacked_codes.data() + e * 16 * 8 * 4;
    CHECK(dequantized(slice) == dequantized(*stored.quantized));

    Tensor input = tensor_of(file, "stacked.weight_in");
    input.data = static_cast<const std::byte*>(input.data) + e * 16 * 64 * 2;
    input.shape = {16, 64};
    const QuantizeResult result = quantize(input, {.bits = 4, .group_size = 32}, "expert");
    CHECK(codes_of(*result.matrix) == codes_of(*stored.quantized));
  }
}

TEST_CASE("int-quantized weights decode, and their activations quantise per token") {
  for (const std::string name : {"ct_w8a8_ch_token_bf16", "ct_w8a8_ch_token_f32"}) {
    CAPTURE(name);
    const SafetensorsFile file = quant_vector(name);
    Json config = config_of(file);
    config["quantization_config"]["config_groups"]["group_0"]["input_activations"] = {
        {"num_bits", 8},
        {"type", "int"},
        {"symmetric", true},
        {"dynamic", true},
        {"strategy", "token"}};
    WeightReader reader(finder_as_module(file, "linear"), QuantizationConfig::parse(config));
    const StoredMatrix stored = reader.read("linear", 32, 128);
    REQUIRE(stored.quantized);
    CHECK(stored.quantized->activation == ActivationScheme::kDynamicInt8);
    const Tensor expected = tensor_of(file, "dequant");
    CHECK(same_bits(dequantized(*stored.quantized, expected.dtype), floats_of(expected)));

    const std::vector<float> x = floats_of(tensor_of(file, "x"));
    const std::vector<float> scales = floats_of(tensor_of(file, "x_scale"));
    const std::vector<int8_t> codes = values_of<int8_t>(tensor_of(file, "x_int8"));
    for (size_t token = 0; token < 5; ++token) {
      const std::span<const float> row(x.data() + token * 128, 128);
      const float scale = dynamic_int8_scale(row, expected.dtype);
      CHECK(scale == scales[token]);
      for (size_t k = 0; k < 128; ++k) {
        CHECK(quantize_int8(row[k], scale, expected.dtype) == codes[token * 128 + k]);
      }
    }
  }
}

TEST_CASE("Gemma mobile linears decode, and equal their compressed-tensors form") {
  for (const int bits : {2, 4, 8}) {
    for (const Dtype compute : {Dtype::kF32, Dtype::kBf16}) {
      const std::string name =
          "gemma_w" + std::to_string(bits) + "a8o8_" + (compute == Dtype::kF32 ? "f32" : "bf16");
      CAPTURE(name);
      const SafetensorsFile file = quant_vector(name);
      const Json config = {
          {"quantization_config",
           {{"quant_method", "gemma"}, {"module_quant_configs", {{"lin", {{"num_bits", bits}}}}}}}};
      WeightReader reader(finder_as_module(file, "linear"), QuantizationConfig::parse(config));
      const QuantizedMatrix matrix = *reader.read("linear", 16, 128).quantized;
      CHECK(matrix.bits == bits);
      CHECK(matrix.activation == ActivationScheme::kStaticInt8);
      CHECK(codes_of(matrix) == values_of<int8_t>(tensor_of(file, "q_int8")));

      // dequant(W) = T(T(q) * T(s)): in bf16 the scale is rounded first.
      std::vector<float> rounded_scales = floats_of(tensor_of(file, "weight_scale"));
      for (float& scale : rounded_scales) scale = round_to(compute, scale);
      QuantizedMatrix in_compute_type = matrix;
      in_compute_type.scales = rounded_scales.data();
      CHECK(
          same_bits(dequantized(in_compute_type, compute), floats_of(tensor_of(file, "dequant"))));

      QuantizedMatrix converted = matrix;
      const Tensor ct = tensor_of(file, "ct_weight_packed");
      converted.packing = CodePacking::kOffsetBinary;
      converted.codes = static_cast<const uint8_t*>(ct.data);
      converted.row_bytes = static_cast<size_t>(ct.shape[1]) * 4;
      CHECK(codes_of(converted) == codes_of(matrix));

      const std::vector<float> x = floats_of(tensor_of(file, "x"));
      const std::vector<float> x_srq = floats_of(tensor_of(file, "x_srq"));
      for (size_t i = 0; i < x.size(); ++i) {
        CHECK(static_range_quantize(x[i], matrix.input_scale, compute) == x_srq[i]);
      }
      const std::vector<double> y = values_of<double>(tensor_of(file, "y_f64"));
      const std::vector<float> y_srq = floats_of(tensor_of(file, "y_srq"));
      for (size_t i = 0; i < y.size(); ++i) {
        const float got =
            static_range_quantize(static_cast<float>(y[i]), matrix.output_scale, compute);
        CHECK(std::fabs(got - y_srq[i]) <= matrix.output_scale * 1.01f);
      }
    }
  }
}

TEST_CASE("a mobile per-layer embedding table decodes with one scale a token and layer") {
  const SafetensorsFile file = quant_vector("gemma_ple_w4_block");
  const Json config = {{"quantization_config", {{"quant_method", "gemma"}}}};
  WeightReader reader(finder_as_module(file, "embed_tokens_per_layer"),
                      QuantizationConfig::parse(config));
  const QuantizedMatrix matrix = *reader.read("embed_tokens_per_layer", 48, 80).quantized;
  CHECK(matrix.group_size == 16);
  CHECK(matrix.activation == ActivationScheme::kNone);
  // The vector computes in bf16: the scale is rounded first.
  std::vector<float> scales = floats_of(tensor_of(file, "embedding_scale"));
  for (float& scale : scales) scale = round_to_bf16(scale);
  QuantizedMatrix in_bf16 = matrix;
  in_bf16.scales = scales.data();
  const std::vector<float> table = dequantized(in_bf16, Dtype::kBf16);
  const std::vector<int64_t> ids = values_of<int64_t>(tensor_of(file, "ids"));
  const std::vector<float> unscaled = floats_of(tensor_of(file, "unscaled"));
  const std::vector<float> out = floats_of(tensor_of(file, "out"));
  for (size_t i = 0; i < ids.size(); ++i) {
    for (size_t k = 0; k < 80; ++k) {
      const float value = table[static_cast<size_t>(ids[i]) * 80 + k];
      CHECK(value == unscaled[i * 80 + k]);
      CHECK(round_to_bf16(value * 4.0f) == out[i * 80 + k]);
    }
  }
}

TEST_CASE("int8 experts with a float32 scale a row decode") {
  const SafetensorsFile file = quant_vector("int8_per_channel_online_bf16");
  const Tensor codes = tensor_of(file, "q_f32math");
  QuantizedMatrix matrix;
  matrix.rows = 3 * 16;
  matrix.cols = 128;
  matrix.bits = 8;
  matrix.packing = CodePacking::kInt8;
  matrix.codes = static_cast<const uint8_t*>(codes.data);
  matrix.row_bytes = 128;
  Tensor scales = tensor_of(file, "scale_f32math");
  scales.shape = {48};
  attach_scales(scales, "scale", 0, matrix);
  CHECK(same_bits(dequantized(matrix), floats_of(tensor_of(file, "dequant_f32math"))));
}

TEST_CASE("fp8 decodes and rounds as its table says") {
  const SafetensorsFile file = quant_vector("fp8_e4m3fn");
  const std::vector<float> table = floats_of(tensor_of(file, "table"));
  for (size_t code = 0; code < 256; ++code) {
    const float value = from_fp8_e4m3(static_cast<uint8_t>(code));
    CHECK((std::isnan(table[code])
               ? std::isnan(value)
               : std::bit_cast<uint32_t>(value) == std::bit_cast<uint32_t>(table[code])));
  }
  const std::vector<float> x = floats_of(tensor_of(file, "x"));
  const std::vector<uint8_t> bits = values_of<uint8_t>(tensor_of(file, "bits"));
  for (size_t i = 0; i < x.size(); ++i) {
    CAPTURE(x[i]);
    CHECK(to_fp8_e4m3(x[i]) == bits[i]);
  }
}

TEST_CASE("keys and values quantise as the vector file says") {
  const SafetensorsFile file = quant_vector("kv_quant");
  const std::vector<float> kv = floats_of(tensor_of(file, "kv"));
  const std::vector<float> int8_scales = floats_of(tensor_of(file, "int8_th_scale"));
  const std::vector<float> fp8_scales = floats_of(tensor_of(file, "fp8_th_scale"));
  const float int8_static = floats_of(tensor_of(file, "int8_static_scale"))[0];
  const float fp8_static = floats_of(tensor_of(file, "fp8_static_scale"))[0];
  const auto int8_codes = values_of<int8_t>(tensor_of(file, "int8_th_q"));
  const auto fp8_codes = values_of<uint8_t>(tensor_of(file, "fp8_th_bits"));
  const auto int8_static_codes = values_of<int8_t>(tensor_of(file, "int8_static_q"));
  const auto fp8_static_codes = values_of<uint8_t>(tensor_of(file, "fp8_static_bits"));
  for (size_t head = 0; head < 12; ++head) {
    const std::span<const float> x(kv.data() + head * 64, 64);
    const float int8_scale = kv_scale(x, kKvInt8Max);
    const float fp8_scale = kv_scale(x, kKvFp8Max);
    CHECK(int8_scale == int8_scales[head]);
    CHECK(fp8_scale == fp8_scales[head]);
    for (size_t k = 0; k < 64; ++k) {
      const size_t i = head * 64 + k;
      CHECK(to_kv_int8(x[k], 1.0f / int8_scale) == int8_codes[i]);
      CHECK(to_kv_fp8(x[k], 1.0f / fp8_scale) == fp8_codes[i]);
      CHECK(quantize_int8(x[k], int8_static) == int8_static_codes[i]);
      CHECK(to_kv_fp8_static(x[k], fp8_static) == fp8_static_codes[i]);
    }
  }
}

TEST_CASE("the grid rule finds the grid of QAT weights in every group") {
  const SafetensorsFile file = quant_vector("grid_q4_0_on_grid_bf16");
  const Tensor weight = tensor_of(file, "weight_in");
  for (const RoundingRule rule : {RoundingRule::kAuto, RoundingRule::kGrid}) {
    const QuantizeResult result =
        quantize(weight, {.bits = 4, .group_size = 32, .rule = rule}, "weight_in");
    CHECK(result.used_grid);
    CHECK(result.on_grid == 1.0);
    const std::vector<float> x = floats_of(weight);
    const std::vector<float> y = dequantized(*result.matrix);
    const std::vector<float> steps = floats_of(tensor_of(file, "true_scale"));
    for (size_t i = 0; i < x.size(); ++i) {
      const float step = scale_at(*result.matrix, static_cast<int64_t>(i / 192),
                                  static_cast<int64_t>(i % 192 / 32));
      CHECK(std::fabs(x[i] - y[i]) <= std::fabs(step) / 32.0f);
    }
    for (size_t g = 0; g < steps.size(); ++g) {
      if (steps[g] == 0.0f || g == 24) continue;  // the group of zeros
      const float step =
          scale_at(*result.matrix, static_cast<int64_t>(g / 6), static_cast<int64_t>(g % 6));
      // A grid twice as fine fits as well; the step found is the least-squares one.
      const float ratio = std::fabs(steps[g] / step);
      CHECK(std::fabs(ratio - std::round(ratio)) < 0.02f);
    }
  }
}

TEST_CASE("the mini checkpoint reads by its config's names, packed where it is packed") {
  const SafetensorsFile file = quant_vector("mini_checkpoint_w4a16");
  const Json config =
      read_json_file(vector_path("quant/mini_checkpoint_w4a16.config.json"), ErrorKind::kModel);
  WeightReader reader(finder(file), QuantizationConfig::parse(config));
  const std::string layer = "model.language_model.layers.0.";
  for (const std::string module : {"mlp.down_proj", "mlp.gate_proj", "self_attn.q_proj"}) {
    CAPTURE(module);
    const Tensor golden = tensor_of(file, "golden." + layer + module + ".weight");
    const StoredMatrix stored = reader.read(layer + module, golden.shape[0], golden.shape[1]);
    REQUIRE(stored.quantized);
    CHECK(same_bits(dequantized(*stored.quantized, Dtype::kBf16), floats_of(golden)));
  }
  const StoredMatrix embedding = reader.read("model.language_model.embed_tokens", 40, 32);
  CHECK(embedding.quantized == nullptr);
  CHECK(embedding.dense.dtype == Dtype::kBf16);
}

TEST_CASE("a matrix product over dequantised weights gives the vector's result") {
  const SafetensorsFile file = quant_vector("matmul_w4a16_g32");
  const QuantizedMatrix matrix = *read_linear(file, 32, 128).quantized;
  const std::vector<float> x = floats_of(tensor_of(file, "x"));
  for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16}) {
    const std::vector<float> w = dequantized(matrix, dtype);
    const std::vector<double> y = values_of<double>(
        tensor_of(file, dtype == Dtype::kF32 ? "y_dequant_f32_f64acc" : "y_dequant_bf16_f64acc"));
    for (size_t m = 0; m < 3; ++m) {
      for (size_t n = 0; n < 32; ++n) {
        double sum = 0.0;
        for (size_t k = 0; k < 128; ++k) sum += double{x[m * 128 + k]} * w[n * 128 + k];
        CHECK(sum == doctest::Approx(y[m * 32 + n]).epsilon(1e-12));
      }
    }
  }
}

}  // namespace
}  // namespace gemma4
