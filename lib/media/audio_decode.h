// AudioStream: any recording as 16 kHz mono float samples, read piece by piece.
//
// Channels are averaged, then the rate is converted by libswresample; sound that is 16 kHz mono
// already passes through unchanged (int16 / 32768 and so on). Memory does not grow with length.
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "lib/media/media_source.h"

namespace gemma4 {

inline constexpr int kAudioSampleRate = 16000;
/// Sample rates that are read, in Hz.
inline constexpr int kMinSampleRate = 4000;
inline constexpr int kMaxSampleRate = 768000;
/// Recordings longer than this are refused (--max-duration).
inline constexpr double kDefaultMaxAudioSeconds = 12 * 3600.0;

class AudioReader;
class AudioResampler;

/// Raw mono sound, little-endian.
struct PcmFormat {
  enum class Sample { kInt16, kFloat32 };
  Sample sample = Sample::kInt16;
  int sample_rate = kAudioSampleRate;
};

/// "s16le:16000" or "f32le:RATE". Throws Error(kUsage).
PcmFormat parse_pcm_format(std::string_view text);

class AudioStream {
 public:
  /// `reader` gives the samples, `name` is for messages. Throws Error(kInput) for a sample rate
  /// outside 4..768 kHz or more than 64 channels.
  AudioStream(std::unique_ptr<AudioReader> reader, std::string name, double max_seconds);
  ~AudioStream();

  /// Copies samples to `out` and returns how many: at least one, as many as have arrived; 0 only
  /// at the end. Throws Error(kInput) for damaged data, samples that are not finite numbers, a
  /// recording longer than the limit or without any sample.
  size_t read(std::span<float> out);

  /// Before the first read: leaves out the beginning, and all that comes `seconds` after it.
  /// read() throws Error(kInput) when the recording ends before `begin`.
  void set_range(double begin, double seconds = std::numeric_limits<double>::infinity());

  /// Length as the file states it, of the range, in seconds; 0 when unknown.
  double expected_seconds() const;
  const std::string& name() const { return name_; }

 private:
  bool refill();
  size_t available();

  std::unique_ptr<AudioReader> reader_;
  std::unique_ptr<AudioResampler> resampler_;  // null when the rate is 16 kHz already
  std::string name_;
  double max_seconds_;
  std::vector<float> interleaved_;  // the reader's last block, then reused
  std::vector<float> pending_;      // converted samples, not yet handed out from `taken_` on
  size_t taken_ = 0;
  size_t total_ = 0;
  size_t skip_ = 0;  // samples before the range that were not yet read
  size_t left_ = std::numeric_limits<size_t>::max();  // of the range
  bool at_end_ = false;
};

/// Opens a sound file or a video with sound. Throws Error(kInput).
std::unique_ptr<AudioStream> open_audio(MediaSourcePtr source,
                                        double max_seconds = kDefaultMaxAudioSeconds);

/// Raw sound as it arrives on a file descriptor, which stays open; it is taken off the pipe while
/// earlier sound is worked on. `should_stop`, asked while nothing arrives, ends the stream; may be
/// empty. Throws Error(kInput).
std::unique_ptr<AudioStream> open_pcm_audio(int file, const PcmFormat& format, std::string name,
                                            std::function<bool()> should_stop = {},
                                            double max_seconds = kDefaultMaxAudioSeconds);

/// All samples of a recording at once.
std::vector<float> decode_audio(MediaSourcePtr source,
                                double max_seconds = kDefaultMaxAudioSeconds);

}  // namespace gemma4
