// The log-mel front end of the audio tower: waveform -> 128 bins every 10 ms.
//
// vision-audio-video.md 4.2. Only frames that hold real samples are computed: the reference pads
// clips and masks what it padded, which gives the same values for the frames that remain.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace gemma4 {

/// `feature_extractor` of processor_config.json; the defaults are those of released checkpoints.
struct LogMelConfig {
  int sampling_rate = 16000;   // Hz
  int frame_length = 320;      // samples
  int hop_length = 160;        // samples
  int fft_length = 512;        // samples, a power of two
  int feature_size = 128;      // mel bins
  double min_frequency = 0.0;  // Hz
  double max_frequency = 8000.0;
  double mel_floor = 1e-3;             // added to each mel value before the logarithm
  std::vector<double> per_bin_mean;    // [feature_size] or empty: subtracted after the logarithm
  std::vector<double> per_bin_stddev;  // [feature_size] or empty: divided by after that
};

struct MelFeatures {
  int64_t frames = 0;
  int bins = 0;
  std::vector<float> values;  // [frames, bins]
};

class LogMel {
 public:
  /// Throws Error(kModel) for values that make no sense.
  explicit LogMel(const LogMelConfig& config = {});

  /// Frames that a clip of so many samples gives: floor((samples - 1) / 160) with the defaults.
  int64_t frame_count(int64_t samples) const;

  /// `samples`: mono at sampling_rate. Throws Error(kInput) when they are too few for one frame.
  /// Safe to call from several threads.
  MelFeatures compute(std::span<const float> samples) const;

  /// The triangular filters, [fft_length / 2 + 1, feature_size], peaks at 1 (HTK mel scale).
  const std::vector<double>& filters() const { return filters_; }

 private:
  struct Band {  // the FFT bins where a filter is not zero
    int begin = 0;
    int end = 0;
  };

  void build_filters();

  LogMelConfig config_;
  std::vector<float> window_;  // [frame_length]: periodic Hann
  std::vector<double> filters_;
  std::vector<Band> bands_;  // [feature_size]
};

}  // namespace gemma4
