// What a checkpoint says about its media: which it takes, and how files become its inputs.
//
// From config.json, and from processor_config.json or preprocessor_config.json where they are
// there; the values of the released processors otherwise (spec vision-audio-video.md, 1.2, 4.2,
// 5.1).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "lib/media/image_patches.h"
#include "lib/media/log_mel.h"
#include "lib/model/config.h"
#include "lib/runtime/media_input.h"

namespace gemma4 {

struct MediaSettings {
  bool images = false;        // the model has an image encoder: it sees images and videos
  bool audio = false;         // it has an audio encoder
  bool encoder_free = false;  // the 12B: 48-pixel patches, and the waveform itself
  int32_t max_grid = 0;       // patches along each side of an image
  int image_budget = kDefaultImageBudget;       // soft tokens of an image
  int video_budget = kDefaultVideoFrameBudget;  // of a video frame
  int video_frames = 32;
  LogMelConfig log_mel;

  int patch_size() const { return encoder_free ? kUnifiedPatchSize : kTowerPatchSize; }
};

/// Throws Error(kModel) naming the file and key for values that are not supported.
MediaSettings read_media_settings(const ModelConfig& config,
                                  const std::filesystem::path& directory);

/// Bytes of the encoders' activations and of the soft tokens kept, at most.
uint64_t media_bytes(const ModelConfig& config, const MediaNeeds& needs);

}  // namespace gemma4
