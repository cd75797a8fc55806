#include "lib/media/audio_window_reader.h"

#include <algorithm>

namespace gemma4 {

AudioWindowReader::AudioWindowReader(AudioStream& stream, const AudioWindowOptions& options)
    : stream_(stream), options_(options) {
  check_audio_window_options(options_);
}

bool AudioWindowReader::next(AudioWindow& window, std::span<const float>& samples) {
  const int64_t begin = std::max<int64_t>(0, own_begin_ - options_.overlap_samples / 2);
  buffer_.erase(buffer_.begin(), buffer_.begin() + (begin - buffer_begin_));
  buffer_begin_ = begin;
  read_until(begin + window_lookahead(options_));

  const int64_t known_end = buffer_begin_ + static_cast<int64_t>(buffer_.size());
  if (own_begin_ >= known_end) return false;
  const auto envelope = energy_envelope(
      std::span<const float>(buffer_).subspan(static_cast<size_t>(own_begin_ - buffer_begin_)));
  window = next_audio_window(envelope, own_begin_, known_end, is_complete_, options_);
  samples = std::span<const float>(buffer_).first(static_cast<size_t>(window.end - window.begin));
  own_begin_ = window.own_end;
  return true;
}

void AudioWindowReader::read_until(int64_t known_end) {
  size_t filled = buffer_.size();
  const auto wanted = static_cast<size_t>(known_end - buffer_begin_);
  buffer_.resize(std::max(filled, wanted));
  while (!is_complete_ && filled < wanted) {
    const size_t got = stream_.read(std::span<float>(buffer_).subspan(filled));
    filled += got;
    is_complete_ = got == 0;
  }
  buffer_.resize(filled);
}

}  // namespace gemma4
