#include "lib/media/audio_windows.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#include "lib/media/audio_decode.h"
#include "lib/media/audio_window_reader.h"
#include "lib/media/media_layout.h"
#include "tests/media/media_files.h"

namespace gemma4 {
namespace {

/// Noise whose loudness changes at random, with pauses.
std::vector<float> bursts(int64_t samples, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> sound(static_cast<size_t>(samples));
  float loudness = 0.5f;
  for (size_t i = 0; i < sound.size(); ++i) {
    if (random() % 4000 == 0) loudness = random() % 4 == 0 ? 0.001f : 0.1f + 0.1f * (random() % 8);
    sound[i] = loudness * uniform(random);
  }
  return sound;
}

/// The rules that every plan keeps, whatever the sound.
void check_plan(const std::vector<AudioWindow>& windows, int64_t total,
                const AudioWindowOptions& options) {
  REQUIRE(!windows.empty());
  int64_t owned = 0;
  for (size_t i = 0; i < windows.size(); ++i) {
    const AudioWindow& window = windows[i];
    REQUIRE(window.own_begin == owned);  // no sample skipped, none owned twice
    REQUIRE(window.own_begin < window.own_end);
    REQUIRE(window.begin <= window.own_begin);
    REQUIRE(window.own_end <= window.end);
    REQUIRE(window.end - window.begin <= options.max_samples);
    const bool has_room = total < kMinAudioSamples || window.end - window.begin >= kMinAudioSamples;
    REQUIRE(has_room);
    if (i > 0) {  // neighbours share exactly the overlap, and only neighbours share anything
      REQUIRE(windows[i - 1].end - window.begin == options.overlap_samples / 2 * 2);
    }
    if (i > 1) REQUIRE(windows[i - 2].end <= window.begin);
    owned = window.own_end;
  }
  REQUIRE(owned == total);
  REQUIRE(windows.front().begin == 0);
  REQUIRE(windows.back().end == total);
}

TEST_CASE("no sample is skipped or used twice outside the overlaps, for any length") {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    AudioWindowOptions options;
    options.max_samples = 32000 + random() % 450000;
    options.overlap_samples = random() % (options.max_samples / 3);
    const int64_t total = 1 + random() % 3'000'000;
    std::vector<float> envelope;
    for (int64_t i = 0; i * kEnvelopeHop < total; ++i) {
      envelope.push_back(static_cast<float>(random() % 1000) / 1000.0f);
    }
    CAPTURE(options.max_samples);
    CAPTURE(options.overlap_samples);
    CAPTURE(total);
    check_plan(plan_audio_windows(envelope, total, options), total, options);
  }
}

TEST_CASE("lengths around the limit of one window are planned") {
  const AudioWindowOptions options;
  for (const int64_t total :
       {int64_t{1}, int64_t{160}, int64_t{161}, options.max_samples - 1, options.max_samples,
        options.max_samples + 1, options.max_samples + 8000, 2 * options.max_samples}) {
    CAPTURE(total);
    const std::vector<float> silence(static_cast<size_t>(total / kEnvelopeHop + 1), 0.0f);
    const auto windows = plan_audio_windows(silence, total, options);
    check_plan(windows, total, options);
    CHECK((windows.size() == 1) == (total <= options.max_samples));
  }
  CHECK(plan_audio_windows({}, 0).empty());
}

TEST_CASE("a cut falls into the pause") {
  AudioWindowOptions options;
  std::vector<float> envelope(6000, 0.1f);  // 60 s of steady sound
  for (size_t i = 2200; i < 2250; ++i) envelope[i] = 1e-6f;
  const auto windows = plan_audio_windows(envelope, 960000, options);
  CHECK(windows[0].own_end >= 2200 * kEnvelopeHop);
  CHECK(windows[0].own_end <= 2250 * kEnvelopeHop);
}

TEST_CASE("without a pause a cut is as late as it can be") {
  const AudioWindowOptions options;
  const auto windows = plan_audio_windows(std::vector<float>(6000, 0.1f), 960000, options);
  CHECK(windows[0].end == options.max_samples);
}

TEST_CASE("a stream is cut as the plan for the whole recording says") {
  AudioWindowOptions options;
  options.max_samples = 100'000;
  options.overlap_samples = 9'000;
  for (const int64_t total : {int64_t{50'000}, int64_t{100'001}, int64_t{777'777}}) {
    const auto sound = bursts(total, static_cast<uint32_t>(total));
    const auto windows = plan_audio_windows(energy_envelope(sound), total, options);
    check_plan(windows, total, options);

    const std::string data(reinterpret_cast<const char*>(sound.data()), sound.size() * 4);
    const auto stream =
        open_audio(MediaSource::from_bytes(wav_bytes(data, 3, 1, 16000, 32), "a.wav"));
    AudioWindowReader reader(*stream, options);
    AudioWindow window;
    std::span<const float> samples;
    size_t index = 0;
    while (reader.next(window, samples)) {
      REQUIRE(index < windows.size());
      REQUIRE(window == windows[index++]);
      REQUIRE(std::equal(samples.begin(), samples.end(), sound.begin() + window.begin,
                         sound.begin() + window.end));
    }
    CHECK(index == windows.size());
  }
}

TEST_CASE("windows of the default size give the conformer at most 750 tokens") {
  const auto sound = bursts(2'000'000, 3);
  for (const AudioWindow& window : plan_audio_windows(energy_envelope(sound), 2'000'000)) {
    CHECK(conformer_soft_tokens(window.end - window.begin) <= kMaxAudioTokens);
    CHECK(conformer_soft_tokens(window.end - window.begin) ==
          ((window.end - window.begin - 1) / 160 + 3) / 4);
  }
}

TEST_CASE("impossible segment options are refused") {
  for (const AudioWindowOptions options :
       {AudioWindowOptions{1000, 0}, AudioWindowOptions{48000, -1},
        AudioWindowOptions{48000, 16001}}) {
    error_of([&] { plan_audio_windows({}, 0, options); }, ErrorKind::kUsage);
  }
}

}  // namespace
}  // namespace gemma4
