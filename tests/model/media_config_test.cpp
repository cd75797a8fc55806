// What the media parts of config.json and the towers' tensors may be, and what is refused.
#include <doctest/doctest.h>

#include <functional>

#include "lib/base/error.h"
#include "lib/io/json.h"
#include "lib/model/audio_config.h"
#include "lib/model/random_tensors.h"
#include "lib/model/tower_parts.h"
#include "lib/model/vision_config.h"
#include "tests/support/decoder_fixture.h"

namespace gemma4 {
namespace {

Json config_of(const std::string& golden) {
  return read_json_file(golden_dir(golden) / "config.json", ErrorKind::kInternal);
}

/// The error that parsing gives once `key` of `part` has been changed, or "" when there is none.
template <typename Parse>
std::string error_with(Json config, const char* part, const char* key, const Json& value,
                       const Parse& parse) {
  config[part][key] = value;
  try {
    parse(config);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModel);
    return error.what();
  }
  return "";
}

/// A source with nothing but clip bounds.
class Bounds : public RandomTensors {
 public:
  Bounds(Ops& ops, std::vector<std::pair<std::string, float>> bounds)
      : RandomTensors(ops), bounds_(std::move(bounds)) {}
  bool has(const std::string& name) const override { return find(name) != nullptr; }
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override {
    REQUIRE(shape.empty());
    tensor_ = {find(name), Dtype::kF32, {}};
    return tensor_;
  }

 private:
  const float* find(const std::string& name) const {
    for (const auto& [known, value] : bounds_) {
      if (name == "q." + known) return &value;
    }
    return nullptr;
  }
  std::vector<std::pair<std::string, float>> bounds_;
  Tensor tensor_;
};

}  // namespace

TEST_CASE("the vision and audio parts of a config are read as they are") {
  const VisionTowerConfig vision = parse_vision_tower_config(config_of("vision-31b")).value();
  CHECK(vision.num_heads == 4);
  CHECK(vision.head_dim == 12);
  CHECK(vision.patch_values() == 768);
  CHECK(vision.standardize);
  CHECK_FALSE(vision.clipped_linears);
  CHECK_FALSE(parse_audio_tower_config(config_of("vision-31b")).has_value());
  const AudioTowerConfig audio = parse_audio_tower_config(config_of("audio-e")).value();
  CHECK(audio.left_keys == 12);
  CHECK(audio.conv_channels[1] == 8);
  CHECK_FALSE(parse_vision_tower_config(config_of("audio-e")).has_value());
  CHECK(parse_unified_vision_config(config_of("unified"))->patch_size == 48);
  CHECK(parse_unified_audio_config(config_of("unified"))->frame_samples == 640);
}

TEST_CASE("values that the encoders do not support are refused by name") {
  const auto vision = [](const char* key, const Json& value) {
    return error_with(config_of("vision-e"), "vision_config", key, value,
                      parse_vision_tower_config);
  };
  const auto audio = [](const char* key, const Json& value) {
    return error_with(config_of("audio-e"), "audio_config", key, value, parse_audio_tower_config);
  };
  const auto unified = [](const char* key, const Json& value) {
    return error_with(config_of("unified"), "vision_config", key, value,
                      parse_unified_vision_config);
  };
  CHECK(vision("hidden_size", 48).empty());
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, Json>>{{"hidden_size", 0},
                                                           {"num_hidden_layers", 1 << 20},
                                                           {"num_key_value_heads", 1},
                                                           {"head_dim", 14},
                                                           {"patch_size", "16"},
                                                           {"hidden_activation", "relu"},
                                                           {"attention_bias", true},
                                                           {"rms_norm_eps", -1.0},
                                                           {"rope_parameters", nullptr}}) {
    CHECK_MESSAGE(vision(key, value).find(key) != std::string::npos, key);
  }
  CHECK(
      vision("rope_parameters", {{"rope_theta", 100.0}, {"rope_type", "yarn"}}).find("rope_type") !=
      std::string::npos);
  for (const auto& [key, value] :
       std::initializer_list<std::pair<const char*, Json>>{{"num_attention_heads", 5},
                                                           {"hidden_size", 49},
                                                           {"subsampling_conv_channels", {128}},
                                                           {"subsampling_conv_channels", {128, 0}},
                                                           {"attention_context_right", 4},
                                                           {"attention_logit_cap", 0.0},
                                                           {"hidden_act", "gelu"},
                                                           {"gradient_clipping", 10.0},
                                                           {"dtype", "int8"}}) {
    const std::string error = audio(key, value);
    CHECK_MESSAGE(!error.empty(), key);
  }
  CHECK(unified("model_patch_size", 32).find("model_patch_size") != std::string::npos);
  CHECK(unified("pooling_kernel_size", 64).find("pooling_kernel_size") != std::string::npos);
}

TEST_CASE("clip bounds are taken whole or not at all") {
  const std::unique_ptr<Ops> ops = make_backend("reference", {});
  const auto load = [&](std::vector<std::pair<std::string, float>> bounds, bool clipped) {
    Bounds source(*ops, std::move(bounds));
    return load_clipped_linear(source, *ops, "q", 2, 3, clipped);
  };
  const ClippedLinear all =
      load({{"input_min", -1.0f}, {"input_max", 2.0f}, {"output_min", -3.0f}, {"output_max", 4.0f}},
           true);
  CHECK(all.input_min == -1.0f);
  CHECK(all.input_max == 2.0f);
  CHECK(all.output_min == -3.0f);
  CHECK(all.output_max == 4.0f);
  CHECK(std::isinf(load({}, true).input_max));
  CHECK_THROWS_AS(load({{"input_min", -1.0f}, {"input_max", 2.0f}}, true), Error);
  CHECK_THROWS_AS(
      load({{"input_min", 1.0f}, {"input_max", -2.0f}, {"output_min", -3.0f}, {"output_max", 4.0f}},
           true),
      Error);
}

}  // namespace gemma4
