// Sample rate conversion of a mono stream, by libswresample. Internal to lib/media.
#pragma once

#include <span>
#include <vector>

#include "lib/media/ffmpeg_handles.h"

namespace gemma4 {

class AudioResampler {
 public:
  /// Rates in Hz. Throws Error(kResource) when libswresample cannot be set up.
  AudioResampler(int from_rate, int to_rate);

  /// Appends what the samples so far give; the filter holds a few back.
  void convert(std::span<const float> samples, std::vector<float>& out);
  /// Appends the rest. The output then has input * to_rate / from_rate samples, within one.
  void finish(std::vector<float>& out);

 private:
  void run(const float* samples, int count, std::vector<float>& out);

  FfmpegPtr<SwrContext> context_;
};

}  // namespace gemma4
