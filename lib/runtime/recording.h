// Recording: a sound file, the sound track of a video, or live sound on a pipe, open for reading.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "lib/media/audio_decode.h"

namespace gemma4 {

struct RecordingOptions {
  double offset = 0.0;  // seconds that are left out at the start
  double duration = std::numeric_limits<double>::infinity();  // seconds that are read from there
  double max_seconds = kDefaultMaxAudioSeconds;
  std::optional<PcmFormat> pcm;  // raw sound, read as it arrives
};

class Recording {
 public:
  /// `path` "-": standard input. `should_stop` is asked while raw sound does not arrive; may be
  /// empty. Throws Error(kInput) for what cannot be read or holds no sound.
  Recording(const std::string& path, const RecordingOptions& options,
            std::function<bool()> should_stop = {});
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  AudioStream& stream() { return *stream_; }
  /// What messages call it.
  const std::string& name() const { return name_; }
  double offset() const { return offset_; }
  /// Sound that arrives while it is being transcribed.
  bool is_live() const { return is_live_; }

 private:
  std::string name_;
  double offset_;
  bool is_live_;
  int file_ = -1;  // of raw sound in a file
  std::unique_ptr<AudioStream> stream_;
};

}  // namespace gemma4
