// What a media encoder is given: one image, one video frame or one clip of audio, decoded and cut
// to what the model reads, and where its soft tokens stand in a prompt.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/media/image_patches.h"

namespace gemma4 {

enum class MediaKind { kImage, kAudio, kVideo };

/// "image", "audio", "video".
std::string_view media_kind_name(MediaKind kind);

struct MediaInput {
  MediaKind kind = MediaKind::kImage;  // kVideo: one frame of it
  int64_t soft_tokens = 0;             // positions that it takes in a prompt
  /// Hash of the values below. Inputs of the same key are the same, and are encoded once.
  uint64_t key = 0;
  ImagePatches patches;         // image, video
  std::vector<float> features;  // audio: log-mel frames, or the waveform cut into frames
};

using MediaInputPtr = std::shared_ptr<const MediaInput>;

/// Sets `key` from the values.
MediaInputPtr make_media_input(MediaInput input);

/// A run of soft tokens in a prompt.
struct MediaSpan {
  int64_t first = 0;  // position of its first soft token
  MediaInputPtr input;

  int64_t end() const { return first + input->soft_tokens; }
};

/// The largest media of the requests that an engine will be given; it plans its memory by it.
struct MediaNeeds {
  int64_t image_tokens = 0;  // soft tokens of the largest image or video frame
  int64_t audio_tokens = 0;  // of the longest clip
  int64_t total_tokens = 0;  // of all media that are kept at a time

  void include(const MediaInput& input);
};

}  // namespace gemma4
