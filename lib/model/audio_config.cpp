#include "lib/model/audio_config.h"

#include "lib/model/config_reader.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 16;  // of any dimension; far above every release

int32_t size(const ConfigReader& object, const char* key) {
  return static_cast<int32_t>(object.integer(key, 1, kMaxSize));
}

float positive(const ConfigReader& object, const char* key) {
  const double value = object.number(key);
  if (!(value > 0.0)) object.fail(key, "must be positive");
  return static_cast<float>(value);
}

void parse_conv_channels(const ConfigReader& audio, int32_t (&channels)[2]) {
  const Json& list = audio.value("subsampling_conv_channels");
  if (!list.is_array() || list.size() != 2) {
    audio.fail("subsampling_conv_channels", "must list two stages");
  }
  for (size_t i = 0; i < 2; ++i) {
    if (!list[i].is_number_integer() || list[i] < 1 || list[i] > 4096) {
      audio.fail("subsampling_conv_channels", "must hold integers from 1 to 4096");
    }
    channels[i] = list[i].get<int32_t>();
  }
}

}  // namespace

std::optional<AudioTowerConfig> parse_audio_tower_config(const Json& config) {
  const ConfigReader top(config, "config.json");
  if (!top.has("audio_config")) return std::nullopt;
  const ConfigReader audio = top.object("audio_config");
  AudioTowerConfig out;
  out.hidden_size = size(audio, "hidden_size");
  out.num_layers = size(audio, "num_hidden_layers");
  out.num_heads = size(audio, "num_attention_heads");
  if (out.hidden_size % out.num_heads != 0 || out.hidden_size % 2 != 0 || out.hidden_size < 4) {
    audio.fail("hidden_size", "must be even and a multiple of num_attention_heads");
  }
  parse_conv_channels(audio, out.conv_channels);
  out.conv_taps = static_cast<int32_t>(audio.integer("conv_kernel_size", 1, 64));
  out.output_size = size(audio, "output_proj_dims");
  out.left_keys = static_cast<int32_t>(audio.integer("attention_context_left", 2, 1024)) - 1;
  if (audio.integer("attention_context_right", 0, kMaxSize) != 0) {
    audio.fail("attention_context_right", "must be 0");
  }
  out.constants_dtype = config_dtype(top, audio);
  out.residual_weight = positive(audio, "residual_weight");
  out.logit_cap = positive(audio, "attention_logit_cap");
  out.rms_norm_eps = positive(audio, "rms_norm_eps");
  out.clipped_linears = audio.boolean_or("use_clipped_linears", false);
  const std::string activation = audio.text("hidden_act");
  if (activation != "silu") audio.fail("hidden_act", "\"" + activation + "\" is not supported");
  // Only float16 activations would reach the released bound, 1e10; a smaller one would be felt.
  if (audio.number_or("gradient_clipping", 1e10) < 1e9) {
    audio.fail("gradient_clipping", "below 1e9 is not supported");
  }
  return out;
}

std::optional<UnifiedAudioConfig> parse_unified_audio_config(const Json& config) {
  const ConfigReader top(config, "config.json");
  if (!top.has("audio_config")) return std::nullopt;
  const ConfigReader audio = top.object("audio_config");
  UnifiedAudioConfig out;
  out.frame_samples = size(audio, "audio_samples_per_token");
  if (audio.integer_or("audio_embed_dim", out.frame_samples, 1, kMaxSize) != out.frame_samples) {
    audio.fail("audio_embed_dim", "must equal audio_samples_per_token");
  }
  out.rms_norm_eps = positive(audio, "rms_norm_eps");
  return out;
}

}  // namespace gemma4
