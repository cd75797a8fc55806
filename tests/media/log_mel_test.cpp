#include "lib/media/log_mel.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "lib/io/json.h"
#include "lib/media/audio_decode.h"
#include "lib/media/media_layout.h"
#include "lib/media/raw_audio_frames.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

TEST_CASE("the mel filters have the specification's entries") {
  const LogMel log_mel;
  const auto& filters = log_mel.filters();
  REQUIRE(filters.size() == 257 * 128);
  const auto at = [&](int bin, int mel) { return filters[static_cast<size_t>(bin * 128 + mel)]; };
  CHECK(std::accumulate(filters.begin(), filters.end(), 0.0) ==
        doctest::Approx(252.78513714).epsilon(1e-10));
  CHECK(std::count_if(filters.begin(), filters.end(), [](double w) { return w > 0; }) == 506);
  CHECK(std::fabs(at(1, 1) - 0.7660076750) < 1e-9);
  CHECK(std::fabs(at(128, 96) - 0.5235366346) < 1e-9);
  CHECK(std::fabs(at(200, 117) - 0.5011218921) < 1e-9);
  CHECK(std::fabs(at(255, 127) - 0.1856758094) < 1e-9);
  for (int bin = 0; bin < 257; ++bin) CHECK(at(bin, 0) == 0.0);
}

TEST_CASE("a tone of 440 Hz gives the specification's features") {
  std::vector<float> samples;
  for (int n = 0; n < 16000; ++n) {
    samples.push_back(
        static_cast<float>(0.5 * std::sin(2 * std::numbers::pi * 440.0 * n / 16000.0)));
  }
  const MelFeatures mel = LogMel().compute(samples);
  REQUIRE(mel.frames == 99);
  const auto check = [&](int frame, int bin, double expected) {
    CAPTURE(frame);
    CAPTURE(bin);
    CHECK(std::fabs(mel.values[static_cast<size_t>(frame * 128 + bin)] - expected) < 2e-4);
  };
  check(50, 0, -6.90776);
  check(50, 10, -3.93387);
  check(50, 20, -0.33793);
  check(50, 22, 2.83259);
  check(50, 24, 3.52727);
  check(50, 25, 3.19791);
  check(50, 60, -6.37099);
  check(50, 127, -6.90165);
  check(0, 10, 0.04963);
  check(0, 22, 2.37096);
  check(0, 60, -1.10396);
  check(0, 127, -2.15303);
  const double mean = std::accumulate(mel.values.begin(), mel.values.end(), 0.0) /
                      static_cast<double>(mel.values.size());
  CHECK(std::fabs(mean + 5.01665) < 2e-4);
}

TEST_CASE("golden clips give the reference's features, and its mask ends where ours do") {
  const auto meta = read_json_file(golden_dir("audio-e") / "meta.json", ErrorKind::kInput);
  const SafetensorsFile goldens(golden_dir("audio-e") / "goldens.safetensors");
  const LogMel log_mel;
  int index = 0;
  for (const auto& clip : meta.at("clips")) {
    CAPTURE(index);
    const auto path = golden_dir("audio-e") / clip.at("file").get<std::string>();
    const auto samples = decode_audio(MediaSource::open(path.string()));
    REQUIRE(samples.size() == clip.at("samples").get<size_t>());
    const MelFeatures mel = log_mel.compute(samples);
    CHECK(mel.frames == clip.at("valid_frames").get<int64_t>());
    CHECK(conformer_soft_tokens(static_cast<int64_t>(samples.size())) ==
          clip.at("soft_tokens").get<int64_t>());

    const std::string name = "clip" + std::to_string(index++);
    const auto expected = tensor_values<float>(goldens, name + ".mel");
    REQUIRE(expected.size() >= mel.values.size());
    double worst = 0.0;
    for (size_t i = 0; i < mel.values.size(); ++i) {
      const double difference = std::fabs(double{mel.values[i]} - expected[i]);
      if (!(difference <= worst)) worst = difference;  // also when it is NaN
    }
    CHECK(worst < 1e-4);
    for (size_t i = mel.values.size(); i < expected.size(); ++i) REQUIRE(expected[i] == 0.0f);
    const auto mask = tensor_values<uint8_t>(goldens, name + ".mel_mask");
    for (size_t frame = 0; frame < mask.size(); ++frame) {
      REQUIRE((mask[frame] != 0) == (static_cast<int64_t>(frame) < mel.frames));
    }
  }
}

TEST_CASE("golden clips of the encoder-free model are cut into the reference's frames") {
  const SafetensorsFile goldens(golden_dir("unified") / "goldens.safetensors");
  for (const std::string name : {"clip0", "clip1"}) {
    const auto samples =
        decode_audio(MediaSource::open((golden_dir("unified") / (name + ".wav")).string()));
    const RawAudioFrames frames = cut_raw_audio_frames(samples);
    CHECK(frames.values == tensor_values<float>(goldens, name + ".features"));
    CHECK(frames.frames == raw_audio_soft_tokens(static_cast<int64_t>(samples.size())));
  }
}

TEST_CASE("per-bin mean and deviation are applied after the logarithm") {
  LogMelConfig config;
  const std::vector<float> samples(400, 0.0f);
  const auto plain = LogMel(config).compute(samples);
  config.per_bin_mean.assign(128, 1.0);
  config.per_bin_stddev.assign(128, 2.0);
  const auto scaled = LogMel(config).compute(samples);
  CHECK(plain.values[5] == doctest::Approx(std::log(1e-3)));
  CHECK(scaled.values[5] == doctest::Approx((std::log(1e-3) - 1.0) / 2.0));
}

TEST_CASE("too short clips and impossible settings are refused") {
  const LogMel log_mel;
  CHECK(log_mel.compute(std::vector<float>(161)).frames == 1);
  error_of([&] { log_mel.compute(std::vector<float>(160)); });
  error_of([] { cut_raw_audio_frames({}); });
  const auto refused = [](auto change) {
    LogMelConfig config;
    change(config);
    error_of([&] { LogMel log_mel(config); }, ErrorKind::kModel);
  };
  refused([](LogMelConfig& config) { config.fft_length = 500; });
  refused([](LogMelConfig& config) { config.hop_length = 0; });
  refused([](LogMelConfig& config) { config.mel_floor = 0; });
  refused([](LogMelConfig& config) { config.max_frequency = std::nan(""); });
  refused([](LogMelConfig& config) { config.per_bin_stddev.assign(128, 0.0); });
  refused([](LogMelConfig& config) { config.per_bin_mean.assign(5, 0.0); });
}

}  // namespace
}  // namespace gemma4
