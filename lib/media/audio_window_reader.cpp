#include "lib/media/audio_window_reader.h"

#include <algorithm>

namespace gemma4 {

AudioWindowReader::AudioWindowReader(AudioStream& stream, const AudioWindowOptions& options)
    : stream_(stream), options_(options) {
  check_audio_window_options(options_);
}

bool AudioWindowReader::next(AudioWindow& window, std::span<const float>& samples) {
  const int64_t begin = last_.next_begin();
  const int64_t own_begin = last_.own_end;
  buffer_.erase(buffer_.begin(), buffer_.begin() + (begin - buffer_begin_));
  buffer_begin_ = begin;
  if (!options_.at_pauses) read_until(begin + window_lookahead(options_));
  while (true) {
    const int64_t known_end = buffer_begin_ + static_cast<int64_t>(buffer_.size());
    if (own_begin >= known_end && is_complete_) return false;
    if (own_begin < known_end) {
      const auto envelope = energy_envelope(
          std::span<const float>(buffer_).subspan(static_cast<size_t>(own_begin - buffer_begin_)));
      const auto found =
          next_audio_window(envelope, begin, own_begin, known_end, is_complete_, options_);
      if (found) {
        window = last_ = *found;
        samples = std::span<const float>(buffer_).first(static_cast<size_t>(window.end - begin));
        return true;
      }
    }
    read_more(8000);
  }
}

void AudioWindowReader::read_until(int64_t known_end) {
  const auto wanted = static_cast<size_t>(known_end - buffer_begin_);
  while (buffer_.size() < wanted && read_more(wanted - buffer_.size())) continue;
}

/// Appends what comes next, at most so many samples; false at the end of the recording.
bool AudioWindowReader::read_more(size_t most) {
  if (is_complete_) return false;
  const size_t filled = buffer_.size();
  buffer_.resize(filled + most);
  const size_t got = stream_.read(std::span<float>(buffer_).subspan(filled));
  buffer_.resize(filled + got);
  is_complete_ = got == 0;
  return got > 0;
}

}  // namespace gemma4
