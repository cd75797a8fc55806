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
    if (!options.at_pauses) REQUIRE(has_room);
    if (i > 0) {  // neighbours share exactly the overlap, and only neighbours share anything
      const int64_t shared = windows[i - 1].end - window.begin;
      const bool at_pause = options.at_pauses && shared == 0;
      REQUIRE((at_pause || shared == options.overlap_samples / 2 * 2));
      REQUIRE(window.begin == windows[i - 1].next_begin());
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
    options.at_pauses = round % 3 == 0;
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
  for (const int64_t total :
       {int64_t{50'000}, int64_t{100'001}, int64_t{777'777}, int64_t{2'777'777}}) {
    options.at_pauses = total > 1'000'000;
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

TEST_CASE("live sound is cut in the first pause, as soon as that was heard") {
  AudioWindowOptions options;
  options.at_pauses = true;
  std::vector<float> envelope(1000, 0.01f);  // 10 s
  for (size_t i = 350; i < 480; ++i) envelope[i] = 1e-6f;
  const int64_t heard = (350 + 60) * kEnvelopeHop;
  const AudioWindow expected = {0, 0, 380 * kEnvelopeHop, 380 * kEnvelopeHop};
  const auto at = [&](int64_t known, bool complete) {
    return next_audio_window(std::span(envelope).first(static_cast<size_t>(known / kEnvelopeHop)),
                             0, 0, known, complete, options);
  };
  CHECK(!at(heard - kEnvelopeHop, false));
  CHECK(at(heard, false) == expected);
  CHECK(at(160'000, false) == expected);
  CHECK(at(160'000, true) == expected);
  // Sound that never pauses is cut where any recording is.
  const std::vector<float> steady(4000, 0.01f);
  const auto plan = plan_audio_windows(steady, 640'000, options);
  CHECK(plan[0].end == 480'000);
  CHECK(plan[1].begin == 464'000);
}

TEST_CASE("a short pause, or one in the first two seconds, ends no window") {
  AudioWindowOptions options;
  options.at_pauses = true;
  std::vector<float> envelope(1000, 0.01f);
  for (size_t i = 50; i < 120; ++i) envelope[i] = 0.0f;
  for (size_t i = 500; i < 555; ++i) envelope[i] = 0.0f;
  CHECK(plan_audio_windows(envelope, 160'000, options).size() == 1);
}

TEST_CASE("silence is told from sound by the loudness around it") {
  std::vector<float> sound(32000, 0.3f);
  std::fill(sound.begin() + 16000, sound.begin() + 24000, 0.003f);  // 40 dB less
  const std::span<const float> whole = sound;
  CHECK(sounding_seconds(whole, whole) == doctest::Approx(1.5));
  CHECK(sounding_seconds(whole.subspan(16000, 8000), whole) == 0.0);
  CHECK(sounding_seconds(whole.subspan(16000, 8000), whole.subspan(16000, 8000)) ==
        doctest::Approx(0.5));
  CHECK(sounding_seconds({}, {}) == 0.0);
  const std::vector<float> nothing(16000, 1e-5f);
  CHECK(sounding_seconds(nothing, nothing) == 0.0);
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
