#include "lib/media/audio_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/base/error.h"
#include "lib/media/audio_reader.h"
#include "lib/media/audio_resampler.h"

namespace gemma4 {
namespace {

constexpr int kMaxChannels = 64;

void mix_to_mono(std::vector<float>& interleaved, size_t channels) {
  if (channels == 1) return;
  const size_t frames = interleaved.size() / channels;
  for (size_t i = 0; i < frames; ++i) {
    double sum = 0.0;
    for (size_t c = 0; c < channels; ++c) sum += interleaved[i * channels + c];
    interleaved[i] = static_cast<float>(sum / static_cast<double>(channels));
  }
  interleaved.resize(frames);
}

}  // namespace

AudioStream::AudioStream(std::unique_ptr<AudioReader> reader, std::string name, double max_seconds)
    : reader_(std::move(reader)), name_(std::move(name)), max_seconds_(max_seconds) {
  const int rate = reader_->sample_rate();
  if (rate < kMinSampleRate || rate > kMaxSampleRate) {
    throw Error(ErrorKind::kInput, fmt::format("unusable sample rate of {} Hz", rate), name_,
                fmt::format("{} to {} Hz are read", kMinSampleRate, kMaxSampleRate));
  }
  if (reader_->channels() < 1 || reader_->channels() > kMaxChannels) {
    throw Error(ErrorKind::kInput,
                fmt::format("unusable number of channels: {}", reader_->channels()), name_,
                fmt::format("1 to {} are read", kMaxChannels));
  }
  if (rate != kAudioSampleRate) {
    resampler_ = std::make_unique<AudioResampler>(rate, kAudioSampleRate);
  }
}

AudioStream::~AudioStream() = default;

void AudioStream::set_range(double begin, double seconds) {
  const auto samples = [](double length) {
    return static_cast<size_t>(std::llround(std::clamp(length, 0.0, 1e9) * kAudioSampleRate));
  };
  skip_ = samples(begin);
  if (std::isfinite(seconds)) left_ = samples(seconds);
}

double AudioStream::expected_seconds() const {
  const double whole = reader_->expected_seconds();
  if (whole <= 0.0) return 0.0;
  return std::clamp(whole - static_cast<double>(skip_) / kAudioSampleRate, 0.0,
                    static_cast<double>(left_) / kAudioSampleRate);
}

/// Samples in pending_ that were not handed out, at least one; 0 only at the end.
size_t AudioStream::available() {
  while (taken_ == pending_.size()) {
    if (at_end_) return 0;
    pending_.clear();
    taken_ = 0;
    at_end_ = !refill();
  }
  return pending_.size() - taken_;
}

size_t AudioStream::read(std::span<float> out) {
  while (skip_ > 0) {
    const size_t skipped = std::min(skip_, available());
    if (skipped == 0) {
      throw Error(
          ErrorKind::kInput, "the recording ends before --offset", name_,
          fmt::format("it is {:.3f} s long", static_cast<double>(total_) / kAudioSampleRate));
    }
    taken_ += skipped;
    skip_ -= skipped;
  }
  if (left_ == 0) return 0;
  const size_t count = std::min({out.size(), available(), left_});
  std::copy_n(pending_.begin() + static_cast<ptrdiff_t>(taken_), count, out.begin());
  taken_ += count;
  left_ -= count;
  return count;
}

/// Fills pending_ with the next block, which may come out empty; false after the last one.
bool AudioStream::refill() {
  const bool more = reader_->read(interleaved_);
  if (more) {
    mix_to_mono(interleaved_, static_cast<size_t>(reader_->channels()));
    if (resampler_ != nullptr) {
      resampler_->convert(interleaved_, pending_);
    } else {
      pending_.swap(interleaved_);
    }
  } else if (resampler_ != nullptr) {
    resampler_->finish(pending_);
  }
  // One check behind mixing and resampling finds NaN and infinity wherever they came from.
  const auto bad = std::find_if_not(pending_.begin(), pending_.end(),
                                    [](float sample) { return std::isfinite(sample); });
  if (bad != pending_.end()) {
    const auto at = total_ + static_cast<size_t>(bad - pending_.begin());
    throw Error(ErrorKind::kInput, "the recording holds samples that are not numbers", name_,
                fmt::format("at {:.3f} s", static_cast<double>(at) / kAudioSampleRate));
  }
  total_ += pending_.size();
  if (static_cast<double>(total_) > max_seconds_ * kAudioSampleRate) {
    throw Error(ErrorKind::kInput, fmt::format("the recording is longer than {:g} s", max_seconds_),
                name_, "raise --max-duration");
  }
  if (!more && total_ == 0) throw Error(ErrorKind::kInput, "the recording has no samples", name_);
  return more;
}

std::unique_ptr<AudioStream> open_audio(MediaSourcePtr source, double max_seconds) {
  const std::string name = source->name();
  auto reader = open_sndfile_reader(source);
  // libsndfile does not know every codec that its containers may hold; FFmpeg tries the rest.
  if (reader == nullptr) reader = open_ffmpeg_audio_reader(std::move(source));
  return std::make_unique<AudioStream>(std::move(reader), name, max_seconds);
}

std::unique_ptr<AudioStream> open_pcm_audio(int file, const PcmFormat& format, std::string name,
                                            std::function<bool()> should_stop, double max_seconds) {
  auto reader = open_pcm_reader(file, format, name, std::move(should_stop));
  return std::make_unique<AudioStream>(std::move(reader), std::move(name), max_seconds);
}

std::vector<float> decode_audio(MediaSourcePtr source, double max_seconds) {
  const auto stream = open_audio(std::move(source), max_seconds);
  std::vector<float> samples;
  std::vector<float> block(kAudioSampleRate);
  while (const size_t got = stream->read(block)) {
    samples.insert(samples.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(got));
  }
  return samples;
}

}  // namespace gemma4
