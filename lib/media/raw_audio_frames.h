// Audio input of the encoder-free model: the waveform itself, cut into frames of 40 ms.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gemma4 {

/// Samples that become one soft token (vision-audio-video.md 3.2), at 16 kHz.
inline constexpr int kRawAudioFrameSamples = 640;

struct RawAudioFrames {
  int64_t frames = 0;
  std::vector<float> values;  // [frames, 640], the last frame filled up with zeros
};

/// Throws Error(kInput) when there are no samples.
RawAudioFrames cut_raw_audio_frames(std::span<const float> samples);

}  // namespace gemma4
