#include "lib/media/log_mel.h"

extern "C" {
#include <libavutil/mem.h>
#include <libavutil/tx.h>
}

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <numbers>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

/// Complex FFT in double precision by libavutil. Has a workspace: one for each thread.
class Fft {
 public:
  explicit Fft(int length) : in_(allocate(length)), out_(allocate(length)), length_(length) {
    AVTXContext* context = nullptr;
    if (av_tx_init(&context, &transform_, AV_TX_DOUBLE_FFT, 0, length, nullptr, 0) < 0) {
      throw Error(ErrorKind::kModel, "no Fourier transform of this length", std::to_string(length));
    }
    context_.reset(context);
  }

  AVComplexDouble* input() { return in_.get(); }
  /// Transforms input(); the result stays valid until the next call.
  const AVComplexDouble* run() {
    transform_(context_.get(), out_.get(), in_.get(), sizeof(AVComplexDouble));
    return out_.get();
  }
  int length() const { return length_; }

 private:
  struct Free {
    void operator()(AVComplexDouble* data) const { av_free(data); }
    void operator()(AVTXContext* context) const { av_tx_uninit(&context); }
  };
  using Buffer = std::unique_ptr<AVComplexDouble, Free>;  // aligned as FFmpeg wants it

  static Buffer allocate(int length) {
    auto* data = static_cast<AVComplexDouble*>(
        av_calloc(static_cast<size_t>(length), sizeof(AVComplexDouble)));
    if (data == nullptr) throw Error(ErrorKind::kResource, "out of memory for audio features");
    return Buffer(data);
  }

  Buffer in_;
  Buffer out_;
  int length_;
  std::unique_ptr<AVTXContext, Free> context_;
  av_tx_fn transform_ = nullptr;
};

double mel_from_hz(double hz) { return 2595.0 * std::log10(1.0 + hz / 700.0); }
double hz_from_mel(double mel) { return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0); }

}  // namespace

LogMel::LogMel(const LogMelConfig& config) : config_(config) {
  const auto fits = [&](const std::vector<double>& values) {
    return values.empty() || values.size() == static_cast<size_t>(config_.feature_size);
  };
  if (config_.sampling_rate < 1 || config_.frame_length < 2 || config_.frame_length % 2 != 0 ||
      config_.hop_length < 1 || config_.fft_length < config_.frame_length ||
      config_.fft_length > 1 << 16 ||
      !std::has_single_bit(static_cast<unsigned>(config_.fft_length)) || config_.feature_size < 1 ||
      config_.feature_size > 4096 || !(config_.min_frequency >= 0) ||
      !(config_.max_frequency > config_.min_frequency) ||
      !(config_.max_frequency <= config_.sampling_rate) || !(config_.mel_floor > 0) ||
      !fits(config_.per_bin_mean) || !fits(config_.per_bin_stddev) ||
      std::count(config_.per_bin_stddev.begin(), config_.per_bin_stddev.end(), 0.0) > 0) {
    throw Error(ErrorKind::kModel, "impossible audio feature settings", "processor_config.json");
  }
  window_.resize(static_cast<size_t>(config_.frame_length));
  for (size_t n = 0; n < window_.size(); ++n) {
    const double angle = 2.0 * std::numbers::pi * static_cast<double>(n) / config_.frame_length;
    window_[n] = static_cast<float>(0.5 - 0.5 * std::cos(angle));
  }
  build_filters();
}

void LogMel::build_filters() {
  const int spectrum = config_.fft_length / 2 + 1;
  const auto mels = static_cast<size_t>(config_.feature_size);
  const double low = mel_from_hz(config_.min_frequency);
  const double high = mel_from_hz(config_.max_frequency);
  std::vector<double> corner(mels + 2);
  for (size_t j = 0; j < corner.size(); ++j) {
    corner[j] = hz_from_mel(low + (high - low) * static_cast<double>(j) /
                                      static_cast<double>(corner.size() - 1));
  }
  filters_.assign(static_cast<size_t>(spectrum) * mels, 0.0);
  bands_.assign(mels, {});
  const double bin_width = 0.5 * config_.sampling_rate / (spectrum - 1);
  for (size_t j = 0; j < mels; ++j) {
    for (int b = 0; b < spectrum; ++b) {
      const double hz = b * bin_width;
      const double rising = (hz - corner[j]) / (corner[j + 1] - corner[j]);
      const double falling = (corner[j + 2] - hz) / (corner[j + 2] - corner[j + 1]);
      const double weight = std::max(0.0, std::min(rising, falling));
      filters_[static_cast<size_t>(b) * mels + j] = weight;
      if (weight == 0.0) continue;
      if (bands_[j].end == 0) bands_[j].begin = b;
      bands_[j].end = b + 1;
    }
  }
}

int64_t LogMel::frame_count(int64_t samples) const {
  // Half a frame of zeros goes in front, and a frame counts when the sample after it is real.
  const int64_t room = samples - 1 - config_.frame_length / 2;
  return room < 0 ? 0 : room / config_.hop_length + 1;
}

MelFeatures LogMel::compute(std::span<const float> samples) const {
  const int64_t frames = frame_count(static_cast<int64_t>(samples.size()));
  if (frames < 1) {
    throw Error(ErrorKind::kInput, "the recording is too short", {},
                "at least 161 samples (10 ms) are needed");
  }
  const auto mels = static_cast<size_t>(config_.feature_size);
  MelFeatures features{frames, config_.feature_size, {}};
  features.values.resize(static_cast<size_t>(frames) * mels);

  parallel_ranges(frames, 64, [&](int64_t begin, int64_t end) {
    Fft fft(config_.fft_length);
    std::vector<double> magnitude(static_cast<size_t>(config_.fft_length / 2 + 1));
    for (int64_t frame = begin; frame < end; ++frame) {
      const int64_t first = frame * config_.hop_length - config_.frame_length / 2;
      AVComplexDouble* in = fft.input();
      std::fill_n(in, fft.length(), AVComplexDouble{0.0, 0.0});
      for (int64_t n = std::max<int64_t>(0, -first); n < config_.frame_length; ++n) {
        // The reference multiplies by the window in float32.
        in[n].re = samples[static_cast<size_t>(first + n)] * window_[static_cast<size_t>(n)];
      }
      const AVComplexDouble* spectrum = fft.run();
      for (size_t b = 0; b < magnitude.size(); ++b) {
        magnitude[b] = std::sqrt(spectrum[b].re * spectrum[b].re + spectrum[b].im * spectrum[b].im);
      }
      float* out = &features.values[static_cast<size_t>(frame) * mels];
      for (size_t j = 0; j < mels; ++j) {
        double mel = 0.0;
        for (int b = bands_[j].begin; b < bands_[j].end; ++b) {
          mel += magnitude[static_cast<size_t>(b)] * filters_[static_cast<size_t>(b) * mels + j];
        }
        double value = std::log(mel + config_.mel_floor);
        if (!config_.per_bin_mean.empty()) value -= config_.per_bin_mean[j];
        if (!config_.per_bin_stddev.empty()) value /= config_.per_bin_stddev[j];
        out[j] = static_cast<float>(value);
      }
    }
  });
  return features;
}

}  // namespace gemma4
