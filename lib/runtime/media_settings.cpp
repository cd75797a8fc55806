#include "lib/runtime/media_settings.h"

#include <algorithm>
#include <iterator>

#include "lib/base/error.h"
#include "lib/model/audio_config.h"
#include "lib/model/config_reader.h"
#include "lib/model/vision_config.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxSize = 1 << 16;

int budget_of(const ConfigReader& processor, int fallback) {
  const auto budget =
      static_cast<int>(processor.integer_or("max_soft_tokens", fallback, 1, kMaxSize));
  if (std::find(std::begin(kImageBudgets), std::end(kImageBudgets), budget) ==
      std::end(kImageBudgets)) {
    processor.fail("max_soft_tokens", "must be 70, 140, 280, 560 or 1120");
  }
  return budget;
}

// Pixels are cut the same way in every release.
void require_patches(const ConfigReader& processor) {
  if (processor.integer_or("patch_size", kTowerPatchSize, 1, kMaxSize) != kTowerPatchSize) {
    processor.fail("patch_size", "must be 16");
  }
  constexpr int kPooling = kSoftTokenPixels / kTowerPatchSize;
  if (processor.integer_or("pooling_kernel_size", kPooling, 1, kMaxSize) != kPooling) {
    processor.fail("pooling_kernel_size", "must be 3");
  }
}

void require_number(const ConfigReader& extractor, const char* key, double only) {
  if (extractor.number_or(key, only) != only) extractor.fail(key, "is not supported");
}

std::vector<double> per_bin(const ConfigReader& extractor, const char* key, int size) {
  std::vector<double> values;
  if (!extractor.has(key)) return values;
  const Json& list = extractor.value(key);
  if (!list.is_array() || list.size() != static_cast<size_t>(size)) {
    extractor.fail(key, "must list a value for each bin");
  }
  for (const Json& value : list) {
    if (!value.is_number()) extractor.fail(key, "must hold numbers");
    values.push_back(value.get<double>());
  }
  return values;
}

LogMelConfig read_log_mel(const ConfigReader& extractor) {
  LogMelConfig mel;
  const auto integer = [&](const char* key, int& value) {
    value = static_cast<int>(extractor.integer_or(key, value, 1, kMaxSize));
  };
  integer("sampling_rate", mel.sampling_rate);
  integer("frame_length", mel.frame_length);
  integer("hop_length", mel.hop_length);
  integer("fft_length", mel.fft_length);
  integer("feature_size", mel.feature_size);
  if (extractor.boolean_or("fft_overdrive", false)) mel.fft_length *= 2;
  if (mel.sampling_rate != 16000) extractor.fail("sampling_rate", "must be 16000");
  if (mel.feature_size != kMelBins) extractor.fail("feature_size", "must be 128");
  mel.min_frequency = extractor.number_or("min_frequency", mel.min_frequency);
  mel.max_frequency = extractor.number_or("max_frequency", mel.max_frequency);
  mel.mel_floor = extractor.number_or("mel_floor", mel.mel_floor);
  mel.per_bin_mean = per_bin(extractor, "per_bin_mean", mel.feature_size);
  mel.per_bin_stddev = per_bin(extractor, "per_bin_stddev", mel.feature_size);
  require_number(extractor, "preemphasis", 0.0);
  require_number(extractor, "dither", 0.0);
  require_number(extractor, "input_scale_factor", 1.0);
  return mel;
}

void read_processor(const Json& json, const std::string& path, MediaSettings& out) {
  const ConfigReader top(json, path);
  // The older file holds the image processor's keys themselves.
  const ConfigReader image = top.has("image_processor") ? top.object("image_processor") : top;
  require_patches(image);
  out.image_budget = budget_of(image, out.image_budget);
  if (top.has("video_processor")) {
    const ConfigReader video = top.object("video_processor");
    require_patches(video);
    out.video_budget = budget_of(video, out.video_budget);
    out.video_frames = static_cast<int>(video.integer_or("num_frames", out.video_frames, 1, 4096));
  }
  if (out.audio && !out.encoder_free && top.has("feature_extractor")) {
    out.log_mel = read_log_mel(top.object("feature_extractor"));
  }
}

// Floats of a matrix row in every buffer of the vision tower's batch, and in its MLP.
int64_t vision_row_floats(const VisionTowerConfig& vision) {
  const int64_t heads = int64_t{vision.num_heads} * vision.head_dim;
  return 3 * vision.patch_values() + 4 * int64_t{vision.hidden_size} + 6 * heads +
         2 * int64_t{vision.intermediate_size};
}

int64_t image_bytes(const ModelConfig& config, const MediaNeeds& needs) {
  const int64_t tokens = needs.image_tokens;
  constexpr int64_t kPatchesAtOnce = 5040;  // of several images (VisionEncoder)
  constexpr int64_t kPatchesOfToken = 9;
  if (config.model_type == "gemma4_unified") {
    const auto vision = parse_unified_vision_config(config.json);
    if (!vision) return 0;
    return tokens * 4 * (2 * vision->patch_values() + 4 * int64_t{vision->embed_dim});
  }
  const auto vision = parse_vision_tower_config(config.json);
  if (!vision) return 0;
  const int64_t all = needs.total_tokens * kPatchesOfToken;
  return std::max(std::min(kPatchesAtOnce, all), tokens * kPatchesOfToken) * 4 *
         vision_row_floats(*vision);
}

int64_t clip_bytes(const ModelConfig& config, int64_t tokens) {
  if (config.model_type == "gemma4_unified") {
    const auto audio = parse_unified_audio_config(config.json);
    return audio ? tokens * 4 * 2 * int64_t{audio->frame_samples} : 0;
  }
  const auto audio = parse_audio_tower_config(config.json);
  if (!audio) return 0;
  // Four mel frames a token, two half-way ones of 64 bins, then rows of up to 4 x hidden values.
  const int64_t row = 4 * kMelBins + kMelBins * int64_t{audio->conv_channels[0]} +
                      kMelBins / 4 * int64_t{audio->conv_channels[1]} +
                      14 * int64_t{audio->hidden_size} + audio->output_size;
  return tokens * 4 * row;
}

}  // namespace

MediaSettings read_media_settings(const ModelConfig& config,
                                  const std::filesystem::path& directory) {
  MediaSettings out;
  const ConfigReader top(config.json, "config.json");
  out.encoder_free = config.model_type == "gemma4_unified";
  out.images = top.has("vision_config");
  out.audio = top.has("audio_config");
  if (out.images && out.encoder_free) {
    out.max_grid = parse_unified_vision_config(config.json)->position_table_size;
  } else if (out.images) {
    out.max_grid = parse_vision_tower_config(config.json)->position_table_size;
  }
  if (!out.images && !out.audio) return out;
  for (const char* name : {"processor_config.json", "preprocessor_config.json"}) {
    const std::filesystem::path file = directory / name;
    if (!std::filesystem::exists(file)) continue;
    read_processor(read_json_file(file, ErrorKind::kModel), file.string(), out);
    break;
  }
  return out;
}

uint64_t media_bytes(const ModelConfig& config, const MediaNeeds& needs) {
  int64_t bytes = 0;
  if (needs.image_tokens > 0) bytes = image_bytes(config, needs);
  if (needs.audio_tokens > 0) bytes = std::max(bytes, clip_bytes(config, needs.audio_tokens));
  bytes += needs.total_tokens * 4 * int64_t{config.text.hidden_size};
  return static_cast<uint64_t>(bytes);
}

}  // namespace gemma4
