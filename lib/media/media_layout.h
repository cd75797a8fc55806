// How many token positions an attachment takes, and what they are: pure arithmetic, no files.
//
// One placeholder of the prompt becomes the pieces given here; the runtime turns each kind into
// the id that the checkpoint's config names. vision-audio-video.md 1.8, 4.3, 4.4, 5.3.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/media/image_patches.h"

namespace gemma4 {

enum class MediaTokenKind {
  kText,  // ordinary text, tokenised on its own
  kBeginImage,
  kImage,
  kEndImage,
  kVideo,  // soft token of a video frame; the frame's begin and end are those of an image
  kBeginAudio,
  kAudio,
  kEndAudio,
};

/// `count` equal tokens, or a piece of text.
struct MediaPiece {
  MediaTokenKind kind = MediaTokenKind::kText;
  int64_t count = 1;
  std::string text;  // kText only
  bool operator==(const MediaPiece&) const = default;
};

/// The most soft tokens of one clip, and the samples that give them (30 s).
inline constexpr int64_t kMaxAudioTokens = 750;
inline constexpr int64_t kMaxAudioSamples = 480'000;
/// Fewer samples than this give the conformer nothing to see.
inline constexpr int64_t kMinAudioSamples = 161;

/// Soft tokens of an image of that size under a budget.
int image_soft_tokens(ImageSize size, int budget);
/// Soft tokens of so many 16 kHz samples through the conformer; 0 below kMinAudioSamples.
int64_t conformer_soft_tokens(int64_t samples);
/// Soft tokens of so many mel frames: two stages that halve, rounding up.
int64_t conformer_tokens_of_frames(int64_t frames);
/// Soft tokens of so many samples in the encoder-free model.
int64_t raw_audio_soft_tokens(int64_t samples);

std::vector<MediaPiece> image_pieces(int64_t soft_tokens);
std::vector<MediaPiece> audio_pieces(int64_t soft_tokens);
/// One frame for each of `timestamps` ("mm:ss"), all with the same number of soft tokens.
std::vector<MediaPiece> video_pieces(std::span<const std::string> timestamps,
                                     int64_t soft_tokens_per_frame);

}  // namespace gemma4
