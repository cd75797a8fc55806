// AudioReader: what the three ways to read sound have in common. Internal to lib/media.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lib/media/audio_decode.h"
#include "lib/media/media_source.h"

namespace gemma4 {

/// Decoded sound at the file's own rate and channels. Channels and rate are as the file says and
/// not yet judged.
class AudioReader {
 public:
  virtual ~AudioReader() = default;

  virtual int channels() const = 0;
  virtual int sample_rate() const = 0;
  /// Length as the file states it, in seconds; 0 when unknown.
  virtual double expected_seconds() const = 0;
  /// Replaces `interleaved` by the next samples, [frames, channels], nominally in [-1, 1]; one
  /// second at most, for common rates. False at the end. Throws Error(kInput) on damaged data.
  virtual bool read(std::vector<float>& interleaved) = 0;
};

/// WAV, FLAC, Ogg (Vorbis, Opus) and AIFF through libsndfile; null when it cannot read the file.
std::unique_ptr<AudioReader> open_sndfile_reader(MediaSourcePtr source);

/// Everything else, the sound track of videos included, through FFmpeg.
std::unique_ptr<AudioReader> open_ffmpeg_audio_reader(MediaSourcePtr source);

/// Raw mono PCM from a file descriptor, which is not closed. Each read returns what has arrived,
/// so that live pipes are not held up. See open_pcm_audio.
std::unique_ptr<AudioReader> open_pcm_reader(int file, const PcmFormat& format, std::string name,
                                             std::function<bool()> should_stop);

}  // namespace gemma4
