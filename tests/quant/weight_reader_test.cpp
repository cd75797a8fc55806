#include "lib/quant/weight_reader.h"

#include <doctest/doctest.h>

#include <limits>
#include <map>

#include "lib/base/error.h"
#include "tests/quant/quant_vectors.h"

namespace gemma4 {
namespace {

/// Tensors in memory, by name.
class MemoryCheckpoint {
 public:
  template <typename T>
  void add(const std::string& name, Dtype dtype, std::vector<int64_t> shape,
           const std::vector<T>& values) {
    auto& bytes = bytes_[name];
    bytes.resize(values.size() * sizeof(T) + 1);
    std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));  // off alignment
    tensors_[name] = {bytes.data() + 1, dtype, std::move(shape)};
    REQUIRE(tensors_[name].bytes() == values.size() * sizeof(T));
  }
  void remove(const std::string& name) { tensors_.erase(name); }
  Tensor& operator[](const std::string& name) { return tensors_.at(name); }

  TensorFinder find() const {
    return [this](std::string_view name) -> const Tensor* {
      const auto found = tensors_.find(std::string(name));
      return found == tensors_.end() ? nullptr : &found->second;
    };
  }

 private:
  std::map<std::string, std::vector<std::byte>> bytes_;
  std::map<std::string, Tensor> tensors_;
};

/// "x", 4 x 64, 4 bits in groups of 32.
MemoryCheckpoint packed_checkpoint() {
  MemoryCheckpoint checkpoint;
  checkpoint.add("x.weight_packed", Dtype::kI32, {4, 8}, std::vector<int32_t>(32, 0x12345678));
  checkpoint.add("x.weight_scale", Dtype::kF32, {4, 2}, std::vector<float>(8, 0.5f));
  checkpoint.add("x.weight_shape", Dtype::kI64, {2}, std::vector<int64_t>{4, 64});
  return checkpoint;
}

Json packed_config() { return one_group_config(4, 32, true, "pack-quantized"); }

StoredMatrix read(const MemoryCheckpoint& checkpoint, const Json& config, int64_t rows = 4,
                  int64_t cols = 64) {
  WeightReader reader(checkpoint.find(), QuantizationConfig::parse(config));
  return reader.read("x", rows, cols);
}

/// The message of the kModel error that reading throws; empty when it does not.
std::string refusal(const MemoryCheckpoint& checkpoint, const Json& config = packed_config(),
                    int64_t rows = 4, int64_t cols = 64) {
  try {
    read(checkpoint, config, rows, cols);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModel);
    return error.what();
  }
  return "";
}

bool mentions(const std::string& message, const std::string& word) {
  CAPTURE(message);
  return message.find(word) != std::string::npos;
}

TEST_CASE("a packed matrix at any alignment reads and counts its bytes") {
  const MemoryCheckpoint checkpoint = packed_checkpoint();
  const StoredMatrix stored = read(checkpoint, packed_config());
  REQUIRE(stored.quantized);
  CHECK(stored.dense.data == nullptr);
  CHECK(stored.quantized->groups() == 2);
  CHECK(quantized_bytes(*stored.quantized) == 4 * 32 + 4 * 2 * 4);
  const std::vector<float> values = dequantized(*stored.quantized);
  CHECK(values[0] == 0.0f);   // 8 - 8
  CHECK(values[1] == -0.5f);  // 7 - 8
  CHECK(values[7] == -3.5f);  // 1 - 8
}

TEST_CASE("a plain matrix reads as it is, also where the config calls it quantised") {
  MemoryCheckpoint checkpoint;
  checkpoint.add("x.weight", Dtype::kBf16, {4, 2}, std::vector<uint16_t>(8, 0x3F80));
  for (const Json& config : {Json::object(), packed_config()}) {
    const StoredMatrix stored = read(checkpoint, config, 4, 2);
    CHECK(stored.quantized == nullptr);
    CHECK(stored.dense.dtype == Dtype::kBf16);
  }
  CHECK(mentions(refusal(checkpoint, Json::object(), 4, 3), "[4, 2]"));
}

TEST_CASE("tensors decide when the config does not name a module") {
  Json config = packed_config();
  config["quantization_config"]["ignore"] = {"x"};
  const StoredMatrix stored = read(packed_checkpoint(), config);
  REQUIRE(stored.quantized);
  CHECK(stored.quantized->bits == 4);
  CHECK(stored.quantized->group_size == 32);
}

TEST_CASE("bits and groups that contradict the config are refused") {
  CHECK(mentions(refusal(packed_checkpoint(), one_group_config(8, 32, true, "pack-quantized")),
                 "x.weight_packed"));
  CHECK(mentions(refusal(packed_checkpoint(), one_group_config(4, 16, true, "pack-quantized")),
                 "x.weight_scale"));
  CHECK(mentions(refusal(packed_checkpoint(), one_group_config(4, 0, true, "pack-quantized")),
                 "x.weight_scale"));
  CHECK(mentions(refusal(packed_checkpoint(), one_group_config(4, 24, true, "pack-quantized")),
                 "24 does not divide 64"));
  CHECK(mentions(refusal(packed_checkpoint(), one_group_config(4, 32, false, "pack-quantized")),
                 "symmetric"));
}

TEST_CASE("wrong shapes and dtypes are refused, naming the tensor") {
  CHECK(mentions(refusal(packed_checkpoint(), packed_config(), 5, 64), "x.weight_shape"));
  MemoryCheckpoint checkpoint = packed_checkpoint();
  checkpoint["x.weight_packed"].shape = {8, 4};
  CHECK(mentions(refusal(checkpoint), "x.weight_packed"));
  checkpoint = packed_checkpoint();
  checkpoint["x.weight_scale"].shape = {8};
  CHECK(mentions(refusal(checkpoint), "x.weight_scale"));
  checkpoint = packed_checkpoint();
  checkpoint["x.weight_scale"].dtype = Dtype::kI32;
  CHECK(mentions(refusal(checkpoint), "x.weight_scale"));
  checkpoint = packed_checkpoint();
  checkpoint.add("x.weight_scale", Dtype::kF32, {4, 3}, std::vector<float>(12, 1.0f));
  CHECK(mentions(refusal(checkpoint), "3 groups do not divide 64"));
  for (const char* name : {"x.weight_packed", "x.weight_scale", "x.weight_shape"}) {
    checkpoint = packed_checkpoint();
    checkpoint.remove(name);
    CHECK(
        mentions(refusal(checkpoint), std::string(name) == "x.weight_packed" ? "x.weight" : name));
  }
  CHECK(mentions(refusal(packed_checkpoint(), packed_config(), INT64_MAX, INT64_MAX), "x"));
  CHECK(mentions(refusal(packed_checkpoint(), packed_config(), 0, 64), "x"));
}

TEST_CASE("scales of 0, NaN and infinity are refused, negative ones are not") {
  const auto with_scale = [](float scale) {
    MemoryCheckpoint checkpoint = packed_checkpoint();
    std::vector<float> scales(8, 0.5f);
    scales[5] = scale;
    checkpoint.add("x.weight_scale", Dtype::kF32, {4, 2}, scales);
    return refusal(checkpoint);
  };
  for (const float bad :
       {0.0f, -0.0f, std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    CHECK(mentions(with_scale(bad), "x.weight_scale"));
  }
  CHECK(with_scale(-0.25f) == "");
  CHECK(with_scale(1e-40f) == "");
  for (const uint16_t bits : {0x0000, 0x8000, 0x7F80, 0x7FC0}) {
    MemoryCheckpoint checkpoint = packed_checkpoint();
    checkpoint.add("x.weight_scale", Dtype::kBf16, {4, 2}, std::vector<uint16_t>(8, bits));
    CHECK(mentions(refusal(checkpoint), "x.weight_scale"));
  }
  for (const uint16_t bits : {0x0000, 0x7C00, 0x7E00}) {
    MemoryCheckpoint checkpoint = packed_checkpoint();
    checkpoint.add("x.weight_scale", Dtype::kF16, {4, 2}, std::vector<uint16_t>(8, bits));
    CHECK(mentions(refusal(checkpoint), "x.weight_scale"));
  }
}

TEST_CASE("a matrix in two formats at once is refused") {
  MemoryCheckpoint checkpoint = packed_checkpoint();
  checkpoint.add("x.weight", Dtype::kBf16, {4, 64}, std::vector<uint16_t>(256));
  CHECK(mentions(refusal(checkpoint), "two formats"));
  checkpoint = MemoryCheckpoint();
  checkpoint.add("x.weight", Dtype::kBf16, {4, 64}, std::vector<uint16_t>(256));
  checkpoint.add("x.weight_scale", Dtype::kBf16, {4, 1}, std::vector<uint16_t>(4, 0x3F80));
  CHECK(mentions(refusal(checkpoint), "x.weight_scale"));
}

TEST_CASE("a column order is accepted only where it changes nothing") {
  MemoryCheckpoint checkpoint = packed_checkpoint();
  checkpoint.add("x.weight_g_idx", Dtype::kI32, {64}, std::vector<int32_t>(64, -1));
  CHECK(refusal(checkpoint) == "");
  std::vector<int32_t> order(64);
  for (int32_t k = 0; k < 64; ++k) order[static_cast<size_t>(k)] = k / 32;
  checkpoint.add("x.weight_g_idx", Dtype::kI32, {64}, order);
  CHECK(refusal(checkpoint) == "");
  std::swap(order[0], order[40]);
  checkpoint.add("x.weight_g_idx", Dtype::kI32, {64}, order);
  CHECK(mentions(refusal(checkpoint), "x.weight_g_idx"));
}

TEST_CASE("static activation scales are read, checked, and 0 means none") {
  MemoryCheckpoint checkpoint = packed_checkpoint();
  checkpoint.add("x.input_scale", Dtype::kF32, {1}, std::vector<float>{0.25f});
  checkpoint.add("x.output_scale", Dtype::kF32, {}, std::vector<float>{0.0f});
  const StoredMatrix stored = read(checkpoint, packed_config());
  CHECK(stored.quantized->activation == ActivationScheme::kStaticInt8);
  CHECK(stored.quantized->input_scale == 0.25f);
  CHECK(stored.quantized->output_scale == 0.0f);
  checkpoint.add("x.input_scale", Dtype::kF32, {1}, std::vector<float>{0.0f});
  CHECK(read(checkpoint, packed_config()).quantized->activation == ActivationScheme::kNone);
  for (const float bad :
       {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    checkpoint.add("x.input_scale", Dtype::kF32, {1}, std::vector<float>{bad});
    CHECK(mentions(refusal(checkpoint), "x.input_scale"));
  }
  checkpoint.add("x.input_zero_point", Dtype::kI8, {1}, std::vector<int8_t>{3});
  CHECK(mentions(refusal(checkpoint), "x.input_zero_point"));
}

TEST_CASE("Gemma mobile storage that contradicts the configured bits is refused") {
  MemoryCheckpoint checkpoint;
  checkpoint.add("x.weight", Dtype::kU8, {4, 32}, std::vector<uint8_t>(128, 0x88));
  checkpoint.add("x.weight_scale", Dtype::kF32, {4, 1}, std::vector<float>(4, 1.0f));
  const auto config = [](int bits) -> Json {
    return {{"quantization_config", {{"quant_method", "gemma"}, {"num_bits", bits}}}};
  };
  CHECK(read(checkpoint, config(4)).quantized->bits == 4);
  CHECK(read(checkpoint, config(4)).quantized->row_bytes == 32);
  CHECK(mentions(refusal(checkpoint, config(2)), "x.weight"));
  CHECK(mentions(refusal(checkpoint, config(8)), "x.weight"));
  CHECK(mentions(refusal(checkpoint), "U8"));
}

TEST_CASE("the formats that ruling 13 leaves for later are refused by name") {
  const SafetensorsFile nvfp4 = quant_vector("nvfp4_weight");
  WeightReader reader(finder_as_module(nvfp4, "x"), QuantizationConfig::parse(packed_config()));
  CHECK_THROWS_WITH_AS(reader.read("x", 16, 64), doctest::Contains("nvfp4"), Error);
  for (const auto& [name, rows, cols] : {std::tuple{"ct_w3_g32_sym_bf16_8x128", 8, 128},
                                         std::tuple{"ct_w6_ch_sym_bf16_8x37", 8, 37}}) {
    const SafetensorsFile file = quant_vector(name);
    CHECK_THROWS_WITH_AS(QuantizationConfig::parse(config_of(file)), doctest::Contains("num_bits"),
                         Error);
    WeightReader by_tensors(finder_as_module(file, "x"), QuantizationConfig::parse(Json::object()));
    CHECK_THROWS_WITH_AS(by_tensors.read("x", rows, cols), doctest::Contains("weight_packed"),
                         Error);
  }
  MemoryCheckpoint checkpoint;
  checkpoint.add("x.weight", Dtype::kF8E4M3, {4, 64}, std::vector<uint8_t>(256));
  CHECK(mentions(refusal(checkpoint), "float-quantized"));
}

}  // namespace
}  // namespace gemma4
