#include "lib/media/audio_decode.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <thread>

#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

std::vector<float> decode_bytes(const std::string& bytes, const std::string& name = "a.wav") {
  return decode_audio(MediaSource::from_bytes(bytes, name));
}

std::vector<float> decode_file(const std::string& path) {
  return decode_audio(MediaSource::open(path));
}

/// A chord with a slow swell: something that codecs keep well and that shows where it is.
std::vector<int16_t> chord(int rate, double seconds) {
  std::vector<int16_t> samples;
  for (int n = 0; n < static_cast<int>(rate * seconds); ++n) {
    const double t = static_cast<double>(n) / rate;
    const double swell = 0.5 + 0.4 * std::sin(2 * std::numbers::pi * 1.5 * t);
    const double tone =
        std::sin(2 * std::numbers::pi * 330 * t) + std::sin(2 * std::numbers::pi * 555 * t);
    samples.push_back(static_cast<int16_t>(std::lround(9000 * swell * tone)));
  }
  return samples;
}

/// Signal-to-error ratio in decibels, at the shift of at most `max_shift` samples that fits best:
/// codecs delay what they encode.
double best_ratio(const std::vector<float>& expected, const std::vector<float>& actual,
                  int max_shift) {
  double best = -100.0;
  for (int shift = -max_shift; shift <= max_shift; ++shift) {
    double signal = 1e-12, error = 1e-12;
    for (size_t i = 2000; i + 4000 < std::min(expected.size(), actual.size()); ++i) {
      const double difference =
          actual[static_cast<size_t>(static_cast<int>(i) + shift)] - expected[i];
      signal += expected[i] * expected[i];
      error += difference * difference;
    }
    best = std::max(best, 10 * std::log10(signal / error));
  }
  return best;
}

TEST_CASE("16 kHz mono passes through as sample / 32768") {
  const auto samples = decode_bytes(wav_bytes(pcm_bytes({0, 1, -32768, 32767}), 1, 1, 16000, 16));
  CHECK(samples == std::vector<float>{0.0f, 1 / 32768.0f, -1.0f, 32767 / 32768.0f});
}

TEST_CASE("8-bit, 24-bit, 32-bit and float samples mean the same sound") {
  CHECK(decode_bytes(wav_bytes(std::string("\x80\xc0\x00", 3), 1, 1, 16000, 8)) ==
        std::vector<float>{0.0f, 0.5f, -1.0f});
  CHECK(decode_bytes(wav_bytes(std::string("\0\0\x40\0\0\xc0", 6), 1, 1, 16000, 24)) ==
        std::vector<float>{0.5f, -0.5f});
  CHECK(decode_bytes(wav_bytes(std::string("\0\0\0\x40", 4), 1, 1, 16000, 32)) ==
        std::vector<float>{0.5f});
  const float values[] = {0.25f, -0.75f};
  CHECK(decode_bytes(wav_bytes({reinterpret_cast<const char*>(values), 8}, 3, 1, 16000, 32)) ==
        std::vector<float>{0.25f, -0.75f});
}

TEST_CASE("channels are averaged") {
  const auto samples =
      decode_bytes(wav_bytes(pcm_bytes({16384, 0, -16384, 16384, 300, 300}), 1, 2, 16000, 16));
  CHECK(samples == std::vector<float>{0.25f, 0.0f, 300 / 32768.0f});
}

TEST_CASE("other sample rates are converted to 16 kHz, keeping length and place") {
  const auto expected = decode_bytes(wav_bytes(pcm_bytes(chord(16000, 2.0)), 1, 1, 16000, 16));
  for (const int rate : {8000, 11025, 22050, 44100, 48000, 96000}) {
    CAPTURE(rate);
    const auto samples = decode_bytes(wav_bytes(pcm_bytes(chord(rate, 2.0)), 1, 1, rate, 16));
    CHECK(std::abs(static_cast<int>(samples.size()) - 32000) <= 2);
    CHECK(best_ratio(expected, samples, 0) > 40.0);
  }
}

TEST_CASE("a stream in pieces of any size gives the same samples") {
  const std::string wav = wav_bytes(pcm_bytes(chord(22050, 1.5)), 1, 1, 22050, 16);
  const auto whole = decode_bytes(wav);
  for (const size_t piece : {1, 777, 100000}) {
    const auto stream = open_audio(MediaSource::from_bytes(wav, "a.wav"));
    CHECK(stream->expected_seconds() == doctest::Approx(1.5).epsilon(1e-3));
    std::vector<float> samples;
    std::vector<float> block(piece);
    while (const size_t got = stream->read(block)) {
      samples.insert(samples.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(got));
    }
    CHECK(stream->read(block) == 0);
    CHECK(samples == whole);
  }
}

TEST_CASE("every lossless format gives the samples of the WAV file") {
  if (!has_program("sox")) return;
  const TemporaryFolder folder;
  write_bytes(folder.file("in.wav"), wav_bytes(pcm_bytes(chord(16000, 1.0)), 1, 1, 16000, 16));
  const auto expected = decode_file(folder.file("in.wav"));
  for (const std::string name : {"a.flac", "a.aiff", "a.au", "a.caf", "a.w64"}) {
    CAPTURE(name);
    run_command("sox -D " + folder.file("in.wav") + " " + folder.file(name));
    CHECK(decode_file(folder.file(name)) == expected);
  }
}

TEST_CASE("every lossy format gives the samples of the WAV file within its codec's error") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_bytes(folder.file("in.wav"), wav_bytes(pcm_bytes(chord(48000, 2.0)), 1, 1, 48000, 16));
  const auto expected = decode_file(folder.file("in.wav"));
  struct Case {
    std::string flags, name;
    int max_shift;  // samples at 16 kHz
    double ratio;
  };
  for (const auto& [flags, name, max_shift, ratio] :
       std::vector<Case>{{"-c:a libmp3lame -b:a 128k", "a.mp3", 500, 25.0},
                         {"-c:a aac -b:a 128k", "a.m4a", 500, 25.0},
                         {"-c:a libopus -b:a 96k", "a.opus", 200, 20.0},
                         {"-c:a libopus -b:a 96k", "a.webm", 200, 20.0},
                         {"-c:a libvorbis -b:a 128k", "a.ogg", 100, 20.0},
                         {"-c:a adpcm_ms", "adpcm.wav", 10, 20.0},
                         {"-c:a alac", "alac.m4a", 0, 60.0},
                         {"-c:a pcm_mulaw -ar 16000", "mulaw.wav", 10, 25.0}}) {
    CAPTURE(name);
    run_command("ffmpeg -v error -i " + folder.file("in.wav") + " " + flags + " " +
                folder.file(name));
    const auto samples = decode_file(folder.file(name));
    CHECK(std::abs(static_cast<int>(samples.size()) - static_cast<int>(expected.size())) < 2500);
    CHECK(best_ratio(expected, samples, max_shift) > ratio);
  }
}

TEST_CASE("a video's sound track is read") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_bytes(folder.file("in.wav"), wav_bytes(pcm_bytes(chord(48000, 2.0)), 1, 1, 48000, 16));
  run_command("ffmpeg -v error -f lavfi -i testsrc=d=2:s=64x48 -i " + folder.file("in.wav") +
              " -c:v mpeg4 -c:a aac -b:a 128k " + folder.file("a.mp4"));
  CHECK(best_ratio(decode_file(folder.file("in.wav")), decode_file(folder.file("a.mp4")), 500) >
        25.0);
  run_command("ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x48 -c:v mpeg4 " +
              folder.file("mute.mp4"));
  CHECK(contains(error_of([&] { decode_file(folder.file("mute.mp4")); }), "no sound"));
}

TEST_CASE("speech written to a pipe, without lengths in its header, is read") {
  if (!has_program("espeak-ng")) return;
  const TemporaryFolder folder;
  run_command("sh -c 'espeak-ng --stdout hello world | cat > " + folder.file("a.wav") + "'");
  const auto samples = decode_file(folder.file("a.wav"));
  CHECK(samples.size() > 8000);
}

TEST_CASE("raw PCM is handed out as it arrives, split samples put together") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto stream = open_pcm_audio(ends[0], {}, "stdin");
  std::vector<float> block(100);
  REQUIRE(::write(ends[1], "\x00\x40\x00", 3) == 3);
  CHECK(stream->read(block) == 1);
  CHECK(block[0] == 0.5f);
  REQUIRE(::write(ends[1], "\xc0\x00\x20\x7f", 4) == 4);
  CHECK(stream->read(block) == 2);
  CHECK(block[0] == -0.5f);
  CHECK(block[1] == 0.25f);
  ::close(ends[1]);
  CHECK(stream->read(block) == 0);
  ::close(ends[0]);
}

TEST_CASE("raw float PCM is read, and formats that are not known are refused") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto stream = open_pcm_audio(ends[0], parse_pcm_format("f32le:16000"), "stdin");
  const float values[] = {0.25f, -1.5f};
  REQUIRE(::write(ends[1], values, sizeof(values)) == sizeof(values));
  ::close(ends[1]);
  std::vector<float> block(100);
  CHECK(stream->read(block) == 2);
  CHECK(block[0] == 0.25f);
  CHECK(block[1] == -1.5f);
  CHECK(stream->read(block) == 0);
  ::close(ends[0]);
  for (const char* bad : {"", "s16le", "s16le:", "s16le:0", "s16le:16k", "u8:16000",
                          "s16le:16000:2", "s16le:-16000", ":16000", "s16le:99999999999"}) {
    CAPTURE(bad);
    error_of([&] { parse_pcm_format(bad); }, ErrorKind::kUsage);
  }
}

TEST_CASE("who writes raw PCM is not held up while nobody reads, up to a limit") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const auto stream = open_pcm_audio(ends[0], {}, "stdin");
  // A pipe alone would take 64 KiB.
  const std::vector<int16_t> second(16000, 100);
  for (int i = 0; i < 30; ++i) {
    const std::string bytes = pcm_bytes(second);
    REQUIRE(::write(ends[1], bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ::close(ends[1]);
  std::vector<float> block(5000);
  size_t total = 0;
  while (const size_t got = stream->read(block)) total += got;
  CHECK(total == 480000);
  ::close(ends[0]);
}

TEST_CASE("a live stream ends when it should stop, though nothing comes") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  bool stop = false;
  const auto stream = open_pcm_audio(ends[0], {}, "stdin", [&] { return stop; });
  REQUIRE(::write(ends[1], "\x00\x40", 2) == 2);
  std::vector<float> block(100);
  CHECK(stream->read(block) == 1);
  stop = true;
  CHECK(stream->read(block) == 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a range of a recording is the same samples") {
  const std::string wav = wav_bytes(pcm_bytes(chord(16000, 3.0)), 1, 1, 16000, 16);
  const auto whole = decode_bytes(wav);
  const auto range = [&](double begin, double seconds) {
    const auto stream = open_audio(MediaSource::from_bytes(wav, "a.wav"), 3.0);
    stream->set_range(begin, seconds);
    CHECK(stream->expected_seconds() == doctest::Approx(std::clamp(3.0 - begin, 0.0, seconds)));
    std::vector<float> samples;
    std::vector<float> block(777);
    while (const size_t got = stream->read(block)) {
      samples.insert(samples.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(got));
    }
    return samples;
  };
  using Samples = std::vector<float>;
  CHECK(range(0.0, 100.0) == whole);
  CHECK(range(1.5, 100.0) == Samples(whole.begin() + 24000, whole.end()));
  CHECK(range(0.25, 1.0) == Samples(whole.begin() + 4000, whole.begin() + 20000));
  CHECK(range(0.0, 0.001) == Samples(whole.begin(), whole.begin() + 16));
  CHECK(contains(error_of([&] { range(3.5, 1.0); }), "--offset"));
}

TEST_CASE("raw PCM at another rate is converted") {
  const TemporaryFolder folder;
  const auto samples = chord(48000, 1.0);
  write_bytes(folder.file("a.raw"), pcm_bytes(samples));
  std::FILE* file = std::fopen(folder.file("a.raw").c_str(), "rb");
  REQUIRE(file != nullptr);
  const auto stream = open_pcm_audio(::fileno(file), parse_pcm_format("s16le:48000"), "stdin");
  std::vector<float> all;
  std::vector<float> block(5000);
  while (const size_t got = stream->read(block)) {
    all.insert(all.end(), block.begin(), block.begin() + static_cast<ptrdiff_t>(got));
  }
  std::fclose(file);
  CHECK(all == decode_bytes(wav_bytes(pcm_bytes(samples), 1, 1, 48000, 16)));
}

TEST_CASE("samples that are not numbers are refused, with the place") {
  std::vector<float> values(20000, 0.1f);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    values[8000] = bad;
    const std::string data(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    CHECK(contains(error_of([&] { decode_bytes(wav_bytes(data, 3, 1, 16000, 32)); }), "0.500 s"));
    error_of([&] { decode_bytes(wav_bytes(data, 3, 2, 44100, 32)); });
  }
}

TEST_CASE("0 Hz, absurd rates and 500 channels are refused") {
  const std::string data(4000, '\x11');
  error_of([&] { decode_bytes(wav_bytes(data, 1, 1, 0, 16)); });
  CHECK(contains(error_of([&] { decode_bytes(wav_bytes(data, 1, 1, 1, 16)); }), "sample rate"));
  CHECK(contains(error_of([&] { decode_bytes(wav_bytes(data, 1, 1, 2000000000, 16)); }),
                 "sample rate"));
  CHECK(contains(error_of([&] { decode_bytes(wav_bytes(data, 1, 500, 16000, 16)); }), "channels"));
  error_of([&] { decode_bytes(wav_bytes(data, 1, 0, 16000, 16)); });
}

TEST_CASE("recordings without samples, truncated ones and other files are refused") {
  CHECK(contains(error_of([] { decode_bytes(wav_bytes("", 1, 1, 16000, 16)); }), "no samples"));
  const std::string wav = wav_bytes(pcm_bytes(chord(16000, 1.0)), 1, 1, 16000, 16);
  CHECK(contains(error_of([&] { decode_bytes(wav.substr(0, wav.size() / 2)); }), "truncated"));
  error_of([&] { decode_bytes(wav.substr(0, 20)); });
  error_of([] { decode_bytes("these are just words, not sound", "a.mp3"); });
  const auto png = golden_dir("vision-e") / "img2.png";
  error_of([&] { decode_file(png.string()); });
}

TEST_CASE("truncated compressed recordings are refused") {
  if (!has_program("sox") || !has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_bytes(folder.file("in.wav"), wav_bytes(pcm_bytes(chord(16000, 3.0)), 1, 1, 16000, 16));
  run_command("sox -D " + folder.file("in.wav") + " " + folder.file("a.flac"));
  run_command("ffmpeg -v error -i " + folder.file("in.wav") + " " + folder.file("a.m4a"));
  for (const std::string name : {"a.flac", "a.m4a"}) {
    CAPTURE(name);
    const std::string whole = file_bytes(folder.file(name));
    error_of([&] { decode_bytes(whole.substr(0, whole.size() / 2), name); });
    error_of([&] { decode_bytes(whole.substr(0, 50), name); });
  }
}

TEST_CASE("a recording longer than the limit is refused") {
  const std::string wav = wav_bytes(pcm_bytes(chord(16000, 2.0)), 1, 1, 16000, 16);
  CHECK(decode_audio(MediaSource::from_bytes(wav, "a.wav"), 2.0).size() == 32000);
  CHECK(contains(error_of([&] { decode_audio(MediaSource::from_bytes(wav, "a.wav"), 1.9); }),
                 "--max-duration"));
}

TEST_CASE("a playlist cannot make us open other files") {
  const TemporaryFolder folder;
  write_bytes(folder.file("in.wav"), wav_bytes(pcm_bytes(chord(16000, 1.0)), 1, 1, 16000, 16));
  write_bytes(folder.file("a.m3u8"), "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" +
                                         folder.file("in.wav") + "\n#EXT-X-ENDLIST\n");
  write_bytes(folder.file("a.txt"), "ffconcat version 1.0\nfile in.wav\n");
  error_of([&] { decode_file(folder.file("a.m3u8")); });
  error_of([&] { decode_file(folder.file("a.txt")); });
}

}  // namespace
}  // namespace gemma4
