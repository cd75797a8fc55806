#include "lib/quant/quantization_config.h"

#include <doctest/doctest.h>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

Json weights(int bits = 4) {
  return {{"num_bits", bits},    {"type", "int"},    {"symmetric", true},
          {"strategy", "group"}, {"group_size", 32}, {"dynamic", false}};
}

Json group(Json weights, std::vector<std::string> targets = {"Linear"}) {
  return {{"targets", std::move(targets)}, {"weights", std::move(weights)}};
}

Json config_with(Json groups, Json ignore = Json::array()) {
  return {{"quantization_config",
           {{"quant_method", "compressed-tensors"},
            {"format", "pack-quantized"},
            {"ignore", std::move(ignore)},
            {"config_groups", std::move(groups)}}}};
}

/// The message of the Error that parsing throws; empty when it does not.
std::string refusal(const Json& config) {
  try {
    QuantizationConfig::parse(config);
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

TEST_CASE("a config without quantization_config quantises nothing") {
  const auto config = QuantizationConfig::parse(Json{{"model_type", "gemma4"}});
  CHECK(config.method() == QuantMethod::kNone);
  CHECK_FALSE(config.scheme_for("model.layers.0.mlp.up_proj"));
}

TEST_CASE("ignore entries win over targets, by name and by pattern anchored at the start") {
  const auto config = QuantizationConfig::parse(config_with(
      {{"group_0", group(weights())}}, {"lm_head", "re:.*vision_tower.*", "re:layers"}));
  CHECK_FALSE(config.scheme_for("lm_head"));
  CHECK_FALSE(config.scheme_for("model.vision_tower.encoder.layers.0.mlp.up_proj"));
  const auto scheme = config.scheme_for("model.language_model.layers.0.mlp.up_proj");
  REQUIRE(scheme);  // "re:layers" does not match in the middle
  CHECK(scheme->bits == 4);
  CHECK(scheme->group_size == 32);
  CHECK(scheme->symmetric);
  CHECK(scheme->activation == ActivationScheme::kNone);
}

TEST_CASE("the first group whose target matches the name decides, classes come last") {
  const auto config = QuantizationConfig::parse(
      config_with({{"all", group(weights(4))},
                   {"eight", group(weights(8), {"re:.*per_layer_projection$"})},
                   {"two", group(weights(2), {"model.layers.1.mlp.up_proj", "Embedding"})}}));
  CHECK(config.scheme_for("model.layers.0.mlp.up_proj")->bits == 4);
  CHECK(config.scheme_for("model.layers.0.per_layer_projection")->bits == 8);
  CHECK(config.scheme_for("model.layers.1.mlp.up_proj")->bits == 2);
  CHECK(config.scheme_for("model.embed_tokens")->bits == 2);
}

TEST_CASE("a class target Linear does not cover embeddings") {
  const auto config = QuantizationConfig::parse(config_with({{"group_0", group(weights())}}));
  CHECK_FALSE(config.scheme_for("model.language_model.embed_tokens"));
  CHECK(config.scheme_for("lm_head"));
}

TEST_CASE("without a strategy the group size implies it") {
  Json channel = {{"num_bits", 8}, {"group_size", -1}};
  const auto config = QuantizationConfig::parse(config_with({{"group_0", group(channel)}}));
  CHECK(config.scheme_for("a")->group_size == 0);
  const Json tensor = {{"num_bits", 8}};
  CHECK(mentions(refusal(config_with({{"group_0", group(tensor)}})), "tensor"));
}

TEST_CASE("each group of a mixed-precision file has a format of its own") {
  Json config = config_with({{"packed", group(weights(4), {"re:.*mlp.*"})},
                             {"plain", group(weights(8), {"re:.*self_attn.*"})}});
  config["quantization_config"]["format"] = "mixed-precision";
  CHECK(mentions(refusal(config), "mixed-precision"));
  config["quantization_config"]["config_groups"]["packed"]["format"] = "pack-quantized";
  config["quantization_config"]["config_groups"]["plain"]["format"] = "int-quantized";
  CHECK(QuantizationConfig::parse(config).scheme_for("x.self_attn.q_proj")->bits == 8);
}

TEST_CASE("presets of old files are known by name") {
  const auto config = QuantizationConfig::parse(config_with({{"W4A16", {"Linear"}}}));
  CHECK(config.scheme_for("a")->bits == 4);
  CHECK(config.scheme_for("a")->group_size == 128);
  CHECK(mentions(refusal(config_with({{"FP8", {"Linear"}}})), "FP8"));
}

TEST_CASE("static and dynamic int8 activations are told apart") {
  Json statics = group(weights(4));
  statics["input_activations"] = {{"num_bits", 8}, {"strategy", "tensor"}, {"dynamic", false}};
  statics["output_activations"] = statics["input_activations"];
  const auto scheme =
      QuantizationConfig::parse(config_with({{"group_0", statics}})).scheme_for("a");
  CHECK(scheme->activation == ActivationScheme::kStaticInt8);
  CHECK(scheme->quantizes_output);
  Json dynamics = group(weights(8));
  dynamics["input_activations"] = {{"num_bits", 8}, {"strategy", "token"}, {"dynamic", true}};
  CHECK(
      QuantizationConfig::parse(config_with({{"group_0", dynamics}})).scheme_for("a")->activation ==
      ActivationScheme::kDynamicInt8);
}

TEST_CASE("what is not supported is refused by name") {
  const auto with = [](const char* key, Json value) {
    Json changed = weights();
    changed[key] = std::move(value);
    return refusal(config_with({{"group_0", group(changed)}}));
  };
  CHECK(mentions(with("num_bits", 3), "num_bits 3"));
  CHECK(mentions(with("num_bits", 6), "num_bits 6"));
  CHECK(mentions(with("num_bits", "4"), "num_bits"));
  CHECK(mentions(with("type", "float"), "float"));
  CHECK(mentions(with("strategy", "block"), "block"));
  CHECK(mentions(with("strategy", "tensor_group"), "tensor_group"));
  CHECK(mentions(with("group_size", 0), "group_size"));
  CHECK(mentions(with("group_size", -7), "group_size -7"));
  CHECK(mentions(with("dynamic", "local"), "dynamic"));
  CHECK(mentions(with("private_key", 1), "private_key"));
  for (const char* format : {"float-quantized", "naive-quantized", "nvfp4-pack-quantized",
                             "mxfp4-pack-quantized", "mxfp8-quantized", "marlin-24", "dense"}) {
    Json config = config_with({{"group_0", group(weights())}});
    config["quantization_config"]["format"] = format;
    CHECK(mentions(refusal(config), format));
  }
  for (const char* method : {"gptq", "awq", "modelopt", "fp8", "bitsandbytes"}) {
    CHECK(mentions(refusal({{"quantization_config", {{"quant_method", method}}}}), method));
  }
  Json config = config_with({{"group_0", group(weights())}});
  config["quantization_config"]["transform_config"] = {{"config_groups", {{"u", 1}}}};
  CHECK(mentions(refusal(config), "transform_config"));
  config = config_with({{"group_0", group(weights())}});
  config["quantization_config"]["sparsity_config"] = {{"format", "sparse-24-bitmask"}};
  CHECK(mentions(refusal(config), "sparsity_config"));
  config = config_with({{"group_0", group(weights())}});
  config["quantization_config"]["kv_cache_scheme"] = {{"num_bits", 4}, {"type", "int"}};
  CHECK(mentions(refusal(config), "kv_cache_scheme"));
  Json extra = group(weights());
  extra["priority"] = 1;
  CHECK(mentions(refusal(config_with({{"group_0", extra}})), "priority"));
  Json activations = group(weights());
  activations["input_activations"] = {{"num_bits", 4}, {"type", "float"}, {"dynamic", "local"}};
  CHECK(mentions(refusal(config_with({{"group_0", activations}})), "dynamic"));
}

TEST_CASE("values of the wrong kind are refused, not crashed on") {
  for (const Json& value : {Json(1), Json("x"), Json::array({1}), Json(true)}) {
    CHECK(refusal({{"quantization_config", value}}) != "");
    CHECK(refusal(config_with(value)) != "");
    CHECK(refusal(config_with({{"group_0", value}})) != "");
    CHECK(refusal(config_with({{"group_0", group(value)}})) != "");
    Json config = config_with({{"group_0", group(weights())}});
    config["quantization_config"]["ignore"] = value;
    CHECK(refusal(config) != "");
  }
}

TEST_CASE("patterns that could take forever are refused or take a moment") {
  CHECK(
      mentions(refusal(config_with({{"g", group(weights())}}, {"re:(a{1000}){1000}"})), "counted"));
  CHECK(mentions(refusal(config_with({{"g", group(weights())}}, {"re:(a"})), "pattern"));
  CHECK(mentions(refusal(config_with({{"g", group(weights())}}, {"re:" + std::string(2000, 'a')})),
                 "longer"));
  const auto config = QuantizationConfig::parse(
      config_with({{"g", group(weights())}}, {"re:((a*)*)*b", "re:(a|a|aa)*$x"}));
  CHECK(config.scheme_for(std::string(200, 'a')));
}

TEST_CASE("Gemma's patterns are one search: the earliest position wins, then the first pattern") {
  const Json config = {{"compression_config",
                        {{"quant_method", "gemma"},
                         {"num_bits", 4},
                         {"module_quant_configs",
                          {{"mlp", {{"num_bits", 8}}},
                           {R"(layers\.(15|16)\.mlp)", {{"num_bits", 2}}},
                           {"layers", {{"num_bits", 4}}}}}}}};
  const auto parsed = QuantizationConfig::parse(config);
  CHECK(parsed.method() == QuantMethod::kGemma);
  CHECK(parsed.scheme_for("model.layers.15.mlp.up_proj")->bits == 2);
  CHECK(parsed.scheme_for("model.layers.3.mlp.up_proj")->bits == 4);
  CHECK(parsed.scheme_for("mlp")->bits == 8);
  CHECK(parsed.scheme_for("lm_head")->bits == 4);
  CHECK(mentions(refusal({{"quantization_config", {{"quant_method", "gemma"}, {"num_bits", 3}}}}),
                 "num_bits 3"));
}

}  // namespace
}  // namespace gemma4
