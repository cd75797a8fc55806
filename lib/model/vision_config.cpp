#include "lib/model/vision_config.h"

#include "lib/model/config_reader.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 16;  // of any dimension; far above every release

int32_t size(const ConfigReader& object, const char* key) {
  return static_cast<int32_t>(object.integer(key, 1, kMaxSize));
}

float norm_eps(const ConfigReader& vision) {
  const double eps = vision.number("rms_norm_eps");
  if (!(eps >= 0.0)) vision.fail("rms_norm_eps", "is negative");
  return static_cast<float>(eps);
}

float rope_theta(const ConfigReader& vision) {
  const ConfigReader rope = vision.object("rope_parameters");
  const std::string type = rope.text_or("rope_type", "default");
  if (type != "default") rope.fail("rope_type", "\"" + type + "\" is not supported");
  const double theta = rope.number("rope_theta");
  if (!(theta > 0.0)) rope.fail("rope_theta", "must be positive");
  return static_cast<float>(theta);
}

}  // namespace

std::optional<VisionTowerConfig> parse_vision_tower_config(const Json& config) {
  const ConfigReader top(config, "config.json");
  if (!top.has("vision_config")) return std::nullopt;
  const ConfigReader vision = top.object("vision_config");
  VisionTowerConfig out;
  out.hidden_size = size(vision, "hidden_size");
  out.num_layers = size(vision, "num_hidden_layers");
  out.num_heads = size(vision, "num_attention_heads");
  if (vision.integer_or("num_key_value_heads", out.num_heads, 1, kMaxSize) != out.num_heads) {
    vision.fail("num_key_value_heads", "must equal num_attention_heads");
  }
  out.head_dim = size(vision, "head_dim");
  if (out.head_dim % 4 != 0) vision.fail("head_dim", "must be a multiple of 4");
  out.intermediate_size = size(vision, "intermediate_size");
  out.patch_size = static_cast<int32_t>(vision.integer("patch_size", 1, 256));
  out.pooling_kernel = static_cast<int32_t>(vision.integer("pooling_kernel_size", 1, 64));
  out.position_table_size = size(vision, "position_embedding_size");
  out.rope_theta = rope_theta(vision);
  out.rms_norm_eps = norm_eps(vision);
  out.clipped_linears = vision.boolean_or("use_clipped_linears", false);
  out.standardize = vision.boolean_or("standardize", false);
  const std::string activation = vision.text("hidden_activation");
  if (activation != "gelu_pytorch_tanh") {
    vision.fail("hidden_activation", "\"" + activation + "\" is not supported");
  }
  if (vision.boolean_or("attention_bias", false)) vision.fail("attention_bias", "is not supported");
  return out;
}

std::optional<UnifiedVisionConfig> parse_unified_vision_config(const Json& config) {
  const ConfigReader top(config, "config.json");
  if (!top.has("vision_config")) return std::nullopt;
  const ConfigReader vision = top.object("vision_config");
  UnifiedVisionConfig out;
  const int64_t merged =
      vision.integer("patch_size", 1, 256) * vision.integer("pooling_kernel_size", 1, 64);
  if (merged > 256) vision.fail("pooling_kernel_size", "makes patches of more than 256 pixels");
  if (vision.integer_or("model_patch_size", merged, 1, kMaxSize) != merged) {
    vision.fail("model_patch_size", "must be patch_size * pooling_kernel_size");
  }
  out.patch_size = static_cast<int32_t>(merged);
  out.embed_dim = size(vision, "mm_embed_dim");
  out.position_table_size = size(vision, "mm_posemb_size");
  out.rms_norm_eps = norm_eps(vision);
  return out;
}

}  // namespace gemma4
