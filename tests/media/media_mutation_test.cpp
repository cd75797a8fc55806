// Damaged files of every format: each loader gives a result or an Error, and nothing else. The
// sanitizer builds give this test its teeth.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "lib/base/log.h"
#include "lib/media/audio_decode.h"
#include "lib/media/image_decode.h"
#include "lib/media/video_frames.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

/// For the sanitizer builds: libsndfile 1.2 forgets what it allocated for a damaged Ogg file.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libsndfile\nleak:libvorbis\nleak:libogg\n";
}

namespace gemma4 {
namespace {

constexpr int kMutationsPerFile = 30;

std::string mutated(std::string bytes, std::mt19937& random) {
  const auto place = [&] { return random() % bytes.size(); };
  switch (random() % 4) {
    case 0:  // bytes replaced
      for (uint32_t i = 0; i < 1 + random() % 8; ++i) {
        bytes[place()] = static_cast<char>(random());
      }
      break;
    case 1:  // a field set to the largest value
      for (size_t at = place(), i = 0; i < 4 && at + i < bytes.size(); ++i) bytes[at + i] = '\xff';
      break;
    case 2:  // cut short
      bytes.resize(1 + place());
      break;
    default:  // a part repeated
      bytes.insert(place(), bytes.substr(place(), random() % 200));
  }
  return bytes;
}

/// Calls `load` with mutations of every seed of a fuzz target; returns how many were accepted.
int accepted_mutations(const std::string& corpus, const std::function<void(MediaSourcePtr)>& load) {
  std::vector<std::filesystem::path> seeds;
  for (const auto& entry :
       std::filesystem::directory_iterator(source_dir() / "fuzz/corpus" / corpus)) {
    seeds.push_back(entry.path());
  }
  std::sort(seeds.begin(), seeds.end());
  REQUIRE(seeds.size() >= 5);
  set_log_level(LogLevel::kQuiet);
  std::mt19937 random(1);
  int accepted = 0;
  for (const auto& seed : seeds) {
    CAPTURE(seed.filename().string());
    const std::string bytes = file_bytes(seed.string());
    CHECK_NOTHROW(load(MediaSource::from_bytes(bytes, "seed")));
    for (int i = 0; i < kMutationsPerFile; ++i) {
      CAPTURE(i);
      try {
        load(MediaSource::from_bytes(mutated(bytes, random), "mutated"));
        ++accepted;
      } catch (const Error& error) {
        const bool is_expected =
            error.kind() == ErrorKind::kInput || error.kind() == ErrorKind::kResource;
        CHECK(is_expected);
      }
    }
  }
  set_log_level(LogLevel::kWarning);
  return accepted;
}

TEST_CASE("damaged pictures are decoded or refused") {
  CHECK(accepted_mutations("media_image", [](MediaSourcePtr source) {
          const Image image = decode_image(*source, 1 << 20);
          CHECK(image.rgb.size() == static_cast<size_t>(image.width) * image.height * 3);
        }) > 0);
}

TEST_CASE("damaged recordings are decoded or refused") {
  CHECK(accepted_mutations("media_audio", [](MediaSourcePtr source) {
          const auto samples = decode_audio(std::move(source), 60.0);
          CHECK(!samples.empty());
        }) > 0);
}

TEST_CASE("damaged videos are decoded or refused") {
  VideoOptions options;
  options.num_frames = 3;
  options.max_pixels = 1 << 20;
  CHECK(accepted_mutations("media_video", [&](MediaSourcePtr source) {
          const VideoFrames video = sample_video(std::move(source), options);
          CHECK(!video.frames.empty());
          CHECK(video.frames.size() == video.timestamps.size());
        }) > 0);
}

}  // namespace
}  // namespace gemma4
