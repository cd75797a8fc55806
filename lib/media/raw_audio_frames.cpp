#include "lib/media/raw_audio_frames.h"

#include <algorithm>

#include "lib/base/error.h"

namespace gemma4 {

RawAudioFrames cut_raw_audio_frames(std::span<const float> samples) {
  if (samples.empty()) throw Error(ErrorKind::kInput, "the recording has no samples");
  constexpr size_t kFrame = kRawAudioFrameSamples;
  const size_t frames = (samples.size() + kFrame - 1) / kFrame;
  RawAudioFrames result{static_cast<int64_t>(frames), std::vector<float>(frames * kFrame)};
  std::copy(samples.begin(), samples.end(), result.values.begin());
  return result;
}

}  // namespace gemma4
