#include "lib/model/config.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "lib/model/config_reader.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 24;  // of any dimension; far above every release

constexpr char kDiffusion[] = "diffusion_gemma";

// What its config leaves out, because every model of this type has it (spec mtp-diffusion.md, B2).
bool is_diffusion(const ConfigReader& text) {
  return text.text_or("model_type", "") == "diffusion_gemma_text";
}

struct KindShape {
  int32_t head_dim;
  int32_t num_kv_heads;
};

LayerKind layer_kind(const ConfigReader& text, const Json& name) {
  if (name == "sliding_attention") return LayerKind::kSliding;
  if (name == "full_attention") return LayerKind::kFull;
  text.fail("layer_types", "unknown layer type " + name.dump());
}

std::vector<LayerKind> layer_kinds(const ConfigReader& text) {
  const int64_t count = text.integer("num_hidden_layers", 1, 4096);
  const Json& types = text.value("layer_types");
  if (!types.is_array() || static_cast<int64_t>(types.size()) != count) {
    text.fail("layer_types", "must list num_hidden_layers layers");
  }
  std::vector<LayerKind> kinds;
  for (const Json& type : types) kinds.push_back(layer_kind(text, type));
  kinds.back() = LayerKind::kFull;  // the official configuration class forces this
  return kinds;
}

// Sizes that a config written by newer transformers gives per layer (spec text-decoder.md, 1.1).
void apply_per_layer_config(const ConfigReader& text, std::vector<LayerConfig>& layers) {
  if (!text.has("per_layer_config")) return;
  const ConfigReader all = text.object("per_layer_config");
  for (const auto& [key, value] : text.value("per_layer_config").items()) {
    const ConfigReader one(value, all.path() + "." + key);
    const bool is_index =
        !key.empty() && key.size() <= 4 && key.find_first_not_of("0123456789") == std::string::npos;
    const size_t index = is_index ? std::stoul(key) : layers.size();
    if (index >= layers.size()) all.fail(key, "is no layer index");
    LayerConfig& layer = layers[index];
    layer.head_dim = static_cast<int32_t>(one.integer_or("head_dim", layer.head_dim, 2, kMaxSize));
    layer.num_kv_heads = static_cast<int32_t>(
        one.integer_or("num_key_value_heads", layer.num_kv_heads, 1, kMaxSize));
  }
}

std::vector<LayerConfig> parse_layers(const ConfigReader& text, KvOwner owner) {
  const std::vector<LayerKind> kinds = layer_kinds(text);
  const bool k_eq_v = text.boolean_or("attention_k_eq_v", is_diffusion(text));
  const auto kv_heads = static_cast<int32_t>(text.integer("num_key_value_heads", 1, kMaxSize));
  const auto head_dim = static_cast<int32_t>(text.integer("head_dim", 2, kMaxSize));
  const KindShape sliding{head_dim, kv_heads};
  // The count for full layers is in force only together with attention_k_eq_v.
  const KindShape full{
      static_cast<int32_t>(text.integer_or("global_head_dim", head_dim, 2, kMaxSize)),
      k_eq_v ? static_cast<int32_t>(
                   text.integer_or("num_global_key_value_heads", kv_heads, 1, kMaxSize))
             : kv_heads};
  const auto count = static_cast<int64_t>(kinds.size());
  const bool borrows_all = owner == KvOwner::kAnotherModel;
  const int64_t shared = text.integer_or("num_kv_shared_layers", 0, 0, count - !borrows_all);
  if (borrows_all && shared != 0 && shared != count) {
    text.fail("num_kv_shared_layers", "an assistant's layers have no keys and values of their own");
  }
  const int64_t first_shared = count - shared;
  const bool wide = text.boolean_or("use_double_wide_mlp", false) && shared > 0;
  const int64_t intermediate = text.integer("intermediate_size", 1, kMaxSize);

  std::vector<LayerConfig> layers(kinds.size());
  for (int64_t l = 0; l < count; ++l) {
    LayerConfig& layer = layers[static_cast<size_t>(l)];
    layer.kind = kinds[static_cast<size_t>(l)];
    const KindShape& shape = layer.kind == LayerKind::kFull ? full : sliding;
    layer.head_dim = shape.head_dim;
    layer.num_kv_heads = shape.num_kv_heads;
    layer.k_eq_v = k_eq_v && layer.kind == LayerKind::kFull;
    layer.owns_kv = l < first_shared && !borrows_all;
    layer.intermediate_size =
        static_cast<int32_t>(wide && !layer.owns_kv ? 2 * intermediate : intermediate);
    layer.kv_layer = static_cast<int32_t>(l);
  }
  apply_per_layer_config(text, layers);
  if (borrows_all) return layers;
  for (int64_t l = first_shared; l < count; ++l) {  // the last layer of the same kind that owns KV
    LayerConfig& layer = layers[static_cast<size_t>(l)];
    int64_t donor = first_shared - 1;
    while (donor >= 0 && layers[static_cast<size_t>(donor)].kind != layer.kind) --donor;
    if (donor < 0) text.fail("num_kv_shared_layers", "leaves a shared layer without a donor");
    const LayerConfig& source = layers[static_cast<size_t>(donor)];
    if (source.head_dim != layer.head_dim || source.num_kv_heads != layer.num_kv_heads) {
      text.fail("per_layer_config", "a shared layer differs from the layer whose KV it reads");
    }
    layer.kv_layer = static_cast<int32_t>(donor);
  }
  return layers;
}

RopeConfig parse_rope(const ConfigReader& text, const char* kind) {
  const ConfigReader rope = text.object("rope_parameters").object(kind);
  RopeConfig out;
  const std::string type = rope.text_or("rope_type", "default");
  if (type != "default" && type != "proportional") {
    rope.fail("rope_type", "\"" + type + "\" is not supported");
  }
  out.proportional = type == "proportional";
  out.theta = rope.number("rope_theta");
  if (!(out.theta > 0.0)) rope.fail("rope_theta", "must be positive");
  if (out.proportional) {
    out.partial_rotary_factor = rope.number_or("partial_rotary_factor", 1.0);
    if (!(out.partial_rotary_factor > 0.0 && out.partial_rotary_factor <= 1.0)) {
      rope.fail("partial_rotary_factor", "must be above 0 and at most 1");
    }
    out.factor = rope.number_or("factor", 1.0);
    if (!(out.factor > 0.0)) rope.fail("factor", "must be positive");
  } else if (rope.number_or("partial_rotary_factor", 1.0) != 1.0) {
    rope.fail("partial_rotary_factor", "is not supported for rope_type \"default\"");
  }
  return out;
}

void parse_experts(const ConfigReader& text, TextConfig& out) {
  if (!text.boolean_or("enable_moe_block", is_diffusion(text))) return;
  out.num_experts = static_cast<int32_t>(text.integer("num_experts", 1, 65536));
  out.experts_per_token = static_cast<int32_t>(text.integer("top_k_experts", 1, out.num_experts));
  const char* width =
      text.has("moe_intermediate_size") ? "moe_intermediate_size" : "expert_intermediate_size";
  out.expert_intermediate_size = static_cast<int32_t>(text.integer(width, 1, kMaxSize));
}

}  // namespace

TextConfig parse_text_config(const ConfigReader& top, const ConfigReader& text, KvOwner owner) {
  TextConfig out;
  out.vocab_size = static_cast<int32_t>(text.integer("vocab_size", 1, kMaxSize));
  out.hidden_size = static_cast<int32_t>(text.integer("hidden_size", 1, kMaxSize));
  out.num_heads = static_cast<int32_t>(text.integer("num_attention_heads", 1, 65536));
  out.sliding_window = static_cast<int32_t>(text.integer("sliding_window", 1, 1 << 30));
  out.max_position_embeddings =
      static_cast<int32_t>(text.integer("max_position_embeddings", 1, 1 << 30));
  out.rms_norm_eps = static_cast<float>(text.number("rms_norm_eps"));
  out.final_logit_softcapping = static_cast<float>(text.number_or("final_logit_softcapping", 0.0));
  if (out.final_logit_softcapping < 0.0f) text.fail("final_logit_softcapping", "is negative");
  const std::string activation = text.text("hidden_activation");
  if (activation != "gelu_pytorch_tanh") {
    text.fail("hidden_activation", "\"" + activation + "\" is not supported");
  }
  if (text.boolean_or("attention_bias", false)) text.fail("attention_bias", "is not supported");
  const std::string bidirectional = text.text_or("use_bidirectional_attention", "");
  if (!bidirectional.empty() && bidirectional != "vision") {
    text.fail("use_bidirectional_attention", "\"" + bidirectional + "\" is not supported");
  }
  out.bidirectional_vision = bidirectional == "vision";
  out.per_layer_width =
      static_cast<int32_t>(text.integer_or("hidden_size_per_layer_input", 0, 0, kMaxSize));
  if (out.per_layer_width > 0) {
    out.per_layer_vocab_size = static_cast<int32_t>(
        text.integer_or("vocab_size_per_layer_input", out.vocab_size, 1, kMaxSize));
  }
  parse_experts(text, out);
  out.layers = parse_layers(text, owner);
  for (const LayerConfig& layer : out.layers) {
    if (layer.head_dim % 2 != 0) text.fail("head_dim", "must be even");
    if (out.num_heads % layer.num_kv_heads != 0) {
      text.fail("num_attention_heads", "is no multiple of the number of key/value heads");
    }
  }
  out.rope[static_cast<size_t>(LayerKind::kSliding)] = parse_rope(text, "sliding_attention");
  out.rope[static_cast<size_t>(LayerKind::kFull)] = parse_rope(text, "full_attention");
  // Ruling 3: these scales have the dtype that the config names.
  const Dtype dtype = config_dtype(top, text);
  out.embedding_scale = round_to_dtype(std::sqrt(static_cast<float>(out.hidden_size)), dtype);
  out.per_layer_scale = round_to_dtype(std::sqrt(static_cast<float>(out.per_layer_width)), dtype);
  return out;
}

namespace {

// generation_config.json: a missing value is the official default, null turns a rule off.
DiffusionConfig parse_diffusion(const ConfigReader& top, const ConfigReader& text,
                                const ConfigReader& generation, const Json& generation_json) {
  const auto off = [&](const char* key) {
    const auto found = generation_json.find(key);
    return found != generation_json.end() && found->is_null();
  };
  DiffusionConfig out;
  out.canvas_length = static_cast<int32_t>(top.integer("canvas_length", 1, 1 << 16));
  out.self_conditioning_size = static_cast<int32_t>(text.integer_or(
      "self_conditioning_size", text.integer("intermediate_size", 1, kMaxSize), 1, kMaxSize));
  out.max_denoising_steps = static_cast<int32_t>(
      generation.integer_or("max_denoising_steps", out.max_denoising_steps, 1, 1 << 16));
  if (generation.has("sampler_config")) {
    const ConfigReader sampler = generation.object("sampler_config");
    const std::string kind = sampler.text_or("_cls_name", "EntropyBoundSamplerConfig");
    if (kind != "EntropyBoundSamplerConfig") {
      sampler.fail("_cls_name", "\"" + kind + "\" is not supported");
    }
    out.entropy_bound = sampler.number_or("entropy_bound", out.entropy_bound);
    if (!(out.entropy_bound > 0.0)) sampler.fail("entropy_bound", "must be positive");
  }
  out.has_temperature = !off("t_min") && !off("t_max");
  out.t_min = generation.number_or("t_min", out.t_min);
  out.t_max = generation.number_or("t_max", out.t_max);
  if (out.t_min < 0.0) generation.fail("t_min", "is negative");
  if (!(out.t_max > out.t_min)) generation.fail("t_max", "must be above t_min");
  out.stops_early = !off("stability_threshold") && !off("confidence_threshold");
  out.stability_threshold = static_cast<int32_t>(
      generation.integer_or("stability_threshold", out.stability_threshold, 0, 1 << 16));
  out.confidence_threshold = generation.number_or("confidence_threshold", out.confidence_threshold);
  if (!(out.confidence_threshold > 0.0)) {
    generation.fail("confidence_threshold", "must be positive");
  }
  return out;
}

// One id, or a list of them.
void add_ids(const ConfigReader& object, const char* key, int32_t vocab_size,
             std::set<int32_t>& ids) {
  if (!object.has(key)) return;
  const Json& value = object.value(key);
  const Json list = value.is_array() ? value : Json::array({value});
  for (const Json& id : list) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size) {
      object.fail(key, "must hold token ids below vocab_size");
    }
    ids.insert(id.get<int32_t>());
  }
}

int32_t media_id(const ConfigReader& top, const char* key, const char* other, int32_t vocab_size) {
  const char* found = top.has(key) ? key : other;
  if (found == nullptr || !top.has(found)) return -1;
  return static_cast<int32_t>(top.integer(found, 0, vocab_size - 1));
}

}  // namespace

int32_t TextConfig::last_kv_layer() const {
  int32_t last = 0;
  for (int32_t l = 0; l < num_layers(); ++l) {
    if (layers[static_cast<size_t>(l)].owns_kv) last = l;
  }
  return last;
}

ModelConfig parse_model_config(const Json& config, const Json& generation) {
  const ConfigReader top(config, "config.json");
  ModelConfig out;
  out.model_type = top.text("model_type");
  const std::set<std::string> composite = {"gemma4", "gemma4_unified", kDiffusion};
  const std::set<std::string> text_only = {"gemma4_text", "gemma4_unified_text"};
  if (!composite.contains(out.model_type) && !text_only.contains(out.model_type)) {
    top.fail("model_type", "\"" + out.model_type +
                               "\" is not supported; supported are gemma4, gemma4_text, "
                               "gemma4_unified and diffusion_gemma");
  }
  const ConfigReader text = composite.contains(out.model_type) ? top.object("text_config") : top;
  if (is_diffusion(text) != (out.model_type == kDiffusion)) {
    text.fail("model_type", "does not go with model_type " + out.model_type);
  }
  out.text = parse_text_config(top, text, KvOwner::kItself);
  const int32_t vocab = out.text.vocab_size;

  const ConfigReader gen(generation, "generation_config.json");
  if (out.model_type == kDiffusion) {
    if (out.text.num_experts == 0) text.fail("enable_moe_block", "must be true");
    if (out.text.per_layer_width > 0) {
      text.fail("hidden_size_per_layer_input", "is not supported for diffusion_gemma");
    }
    if (out.text.last_kv_layer() + 1 != out.text.num_layers()) {
      text.fail("num_kv_shared_layers", "is not supported for diffusion_gemma");
    }
    out.diffusion = parse_diffusion(top, text, gen, generation);
  }
  std::set<int32_t> stops;
  add_ids(gen, "eos_token_id", vocab, stops);
  add_ids(top, "eos_token_id", vocab, stops);
  add_ids(text, "eos_token_id", vocab, stops);
  out.stop_ids.assign(stops.begin(), stops.end());
  std::set<int32_t> suppressed;
  add_ids(gen, "suppress_tokens", vocab, suppressed);
  out.generation.suppress_tokens.assign(suppressed.begin(), suppressed.end());
  out.generation.temperature = static_cast<float>(gen.number_or("temperature", 1.0));
  if (out.generation.temperature < 0.0f) gen.fail("temperature", "is negative");
  out.generation.top_k = static_cast<int32_t>(gen.integer_or("top_k", 64, 0, kMaxSize));
  out.generation.top_p = static_cast<float>(gen.number_or("top_p", 0.95));
  if (!(out.generation.top_p > 0.0f)) gen.fail("top_p", "must be above 0");
  if (!gen.boolean_or("do_sample", true)) out.generation.temperature = 0.0f;
  out.bos_id = static_cast<int32_t>(text.integer_or("bos_token_id", 2, 0, vocab - 1));
  out.pad_id = static_cast<int32_t>(text.integer_or("pad_token_id", 0, 0, vocab - 1));

  out.media.image = media_id(top, "image_token_id", nullptr, vocab);
  out.media.audio = media_id(top, "audio_token_id", nullptr, vocab);
  out.media.video = media_id(top, "video_token_id", nullptr, vocab);
  out.media.begin_image = media_id(top, "boi_token_id", nullptr, vocab);
  out.media.end_image = media_id(top, "eoi_token_id", nullptr, vocab);
  out.media.begin_audio = media_id(top, "boa_token_id", nullptr, vocab);
  out.media.end_audio = media_id(top, "eoa_token_id", "eoa_token_index", vocab);
  out.json = config;
  return out;
}

}  // namespace gemma4
