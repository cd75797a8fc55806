// AudioWindowReader: a recording of any length as the windows of audio_windows.h, one at a time.
//
// Holds one window and its look-ahead, whatever the length of the recording. The windows are
// those that plan_audio_windows gives for the whole. With at_pauses no more is read than needed, so
// that a window of live sound is there as soon as its pause was heard.
#pragma once

#include <span>
#include <vector>

#include "lib/media/audio_decode.h"
#include "lib/media/audio_windows.h"

namespace gemma4 {

class AudioWindowReader {
 public:
  /// `stream` must outlive the reader. Throws Error(kUsage) for impossible options.
  AudioWindowReader(AudioStream& stream, const AudioWindowOptions& options = {});

  /// The next window and its samples, [begin, end); they stay valid until the next call.
  /// False after the last one. Throws what AudioStream::read throws.
  bool next(AudioWindow& window, std::span<const float>& samples);

 private:
  void read_until(int64_t known_end);
  bool read_more(size_t most);

  AudioStream& stream_;
  AudioWindowOptions options_;
  std::vector<float> buffer_;
  int64_t buffer_begin_ = 0;  // position of buffer_[0] in the recording
  AudioWindow last_;
  bool is_complete_ = false;
};

}  // namespace gemma4
