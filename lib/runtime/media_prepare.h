// From an attached file to what the model reads: decoded, cut to the model's inputs, and laid out
// as the tokens that take its placeholder's place. No weights are needed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/media/audio_decode.h"
#include "lib/media/image_decode.h"
#include "lib/media/media_layout.h"
#include "lib/media/media_source.h"
#include "lib/runtime/media_input.h"
#include "lib/runtime/media_settings.h"

namespace gemma4 {

/// An image, a recording or a video, as the user gave it.
struct MediaAttachment {
  MediaKind kind = MediaKind::kImage;
  MediaSourcePtr source;
};

/// Opens a path, "-" (standard input), a file:// URL or a data: URI. Nothing is fetched: http and
/// other URLs are refused. `origin` says where the reference stood. Throws Error(kInput).
MediaSourcePtr open_media(const std::string& reference, const std::string& origin);

/// The bytes of base64 text. Throws Error(kInput).
MediaSourcePtr media_from_base64(const std::string& text, const std::string& origin);

struct MediaOptions {
  int image_budget = 0;  // soft tokens of an image; 0: as the checkpoint says
  int video_frames = 0;  // of a video; 0: as the checkpoint says
  double video_fps = 0;  // > 0: so many frames a second instead
  int64_t max_pixels = kDefaultMaxPixels;
  double max_seconds = kDefaultMaxAudioSeconds;
};

/// One attachment, ready for a prompt.
struct PreparedMedia {
  MediaKind kind = MediaKind::kImage;
  std::string name;
  std::vector<MediaPiece> pieces;     // what its placeholder becomes
  std::vector<MediaInputPtr> inputs;  // one for each piece of soft tokens, in order
  // Of the original, for --print-prompt: pixels of an image or a frame, seconds of a recording,
  // time stamps of the frames.
  int width = 0;
  int height = 0;
  double seconds = 0.0;
  std::vector<std::string> timestamps;

  int64_t soft_tokens() const;
};

/// Throws Error(kInput) for a kind of media that the model has no encoder for, for unreadable or
/// empty files and those over a limit; Error(kUsage) for impossible options. A recording over 30 s
/// becomes clips of 30 s, with a warning (ruling 20).
PreparedMedia prepare_media(const MediaAttachment& attachment, const MediaSettings& settings,
                            const MediaOptions& options);

/// Throws Error(kInput), naming the modality, when the model has no encoder for it.
void require_modality(MediaKind kind, const MediaSettings& settings);

/// Samples of one clip (16 kHz mono, at least kMinAudioSamples and at most 30 s), ready for the
/// model; `settings` must have audio.
MediaInputPtr audio_input(std::span<const float> samples, const MediaSettings& settings);

}  // namespace gemma4
