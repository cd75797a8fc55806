#include "lib/media/media_layout.h"

#include <algorithm>

#include "lib/media/raw_audio_frames.h"

namespace gemma4 {

int image_soft_tokens(ImageSize size, int budget) {
  return soft_token_count(target_size(size, budget));
}

int64_t conformer_soft_tokens(int64_t samples) {
  constexpr int64_t kHop = 160;
  if (samples < kMinAudioSamples) return 0;
  return std::min(conformer_tokens_of_frames((samples - 1) / kHop), kMaxAudioTokens);
}

int64_t conformer_tokens_of_frames(int64_t frames) { return (frames + 3) / 4; }

int64_t raw_audio_soft_tokens(int64_t samples) {
  return (samples + kRawAudioFrameSamples - 1) / kRawAudioFrameSamples;
}

std::vector<MediaPiece> image_pieces(int64_t soft_tokens) {
  return {{MediaTokenKind::kBeginImage, 1, {}},
          {MediaTokenKind::kImage, soft_tokens, {}},
          {MediaTokenKind::kEndImage, 1, {}}};
}

std::vector<MediaPiece> audio_pieces(int64_t soft_tokens) {
  return {{MediaTokenKind::kBeginAudio, 1, {}},
          {MediaTokenKind::kAudio, soft_tokens, {}},
          {MediaTokenKind::kEndAudio, 1, {}}};
}

std::vector<MediaPiece> video_pieces(std::span<const std::string> timestamps,
                                     int64_t soft_tokens_per_frame) {
  std::vector<MediaPiece> pieces;
  for (const std::string& time : timestamps) {
    const std::string gap = pieces.empty() ? "" : " ";  // frames are joined by one blank
    pieces.push_back({MediaTokenKind::kText, 1, gap + time + " "});
    pieces.push_back({MediaTokenKind::kBeginImage, 1, {}});
    pieces.push_back({MediaTokenKind::kVideo, soft_tokens_per_frame, {}});
    pieces.push_back({MediaTokenKind::kEndImage, 1, {}});
  }
  return pieces;
}

}  // namespace gemma4
