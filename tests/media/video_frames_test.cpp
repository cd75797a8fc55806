#include "lib/media/video_frames.h"

#include <doctest/doctest.h>

#include <cmath>

#include "lib/io/json.h"
#include "lib/media/image_resize.h"
#include "lib/media/video_sampling.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

VideoFrames sample_file(const std::string& path, const VideoOptions& options = {}) {
  return sample_video(MediaSource::open(path), options);
}

double mean_level(const Image& image) {
  double sum = 0.0;
  for (const uint8_t value : image.rgb) sum += value;
  return sum / static_cast<double>(image.rgb.size());
}

/// Frame i of `count` is a plain grey of level 20 + 200 * i / count.
void write_ramp(const TemporaryFolder& folder, int count) {
  std::string raw;
  for (int i = 0; i < count; ++i) {
    raw += std::string(64 * 48 * 3, static_cast<char>(20 + 200 * i / count));
  }
  write_bytes(folder.file("ramp.raw"), raw);
}

TEST_CASE("sampled golden frames give the reference's patches") {
  const auto meta = read_json_file(golden_dir("video") / "meta.json", ErrorKind::kInput);
  const SafetensorsFile goldens(golden_dir("video") / "goldens.safetensors");
  const Image strip =
      decode_image(*MediaSource::open((golden_dir("video") / "frames.png").string()));
  const int height = meta.at("height");
  const auto indices = spread_frames(meta.at("frames"), meta.at("num_frames"));
  CHECK(indices == meta.at("sampled_indices").get<std::vector<int64_t>>());
  Image first{strip.width, height, {}};
  first.rgb.assign(strip.rgb.begin(), strip.rgb.begin() + strip.width * height * 3);
  const auto patches = prepare_image(first, kDefaultVideoFrameBudget, kTowerPatchSize);
  CHECK(patches.soft_tokens() == meta.at("soft_tokens_per_frame").get<int>());
  const bool equal = patches.pixels == tensor_values<uint8_t>(goldens, "frame0.patches_u8");
  CHECK(equal);
  const auto positions = tensor_values<int64_t>(goldens, "position_ids");
  CHECK(std::vector<int64_t>(patches.positions.begin(), patches.positions.end()) == positions);
}

TEST_CASE("a lossless video gives exactly the frames that went in") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  const auto strip = golden_dir("video") / "frames.png";
  // Twelve pictures of 96 x 64, cut out of the strip one after the other.
  run_command("ffmpeg -v error -loop 1 -r 4 -i " + strip.string() +
              " -vf 'crop=96:64:0:64*n' -frames:v 12 -c:v ffv1 -pix_fmt bgr0 " +
              folder.file("a.mkv"));
  VideoOptions options;
  options.num_frames = 3;
  const VideoFrames video = sample_file(folder.file("a.mkv"), options);
  CHECK(video.total_frames == 12);
  CHECK(video.fps == 4.0);
  CHECK(video.indices == std::vector<int64_t>{0, 4, 8});
  CHECK(video.timestamps == std::vector<std::string>{"00:00", "00:01", "00:02"});
  const Image pictures = decode_image(*MediaSource::open(strip.string()));
  REQUIRE(video.frames.size() == 3);
  for (size_t i = 0; i < 3; ++i) {
    Image frame{96, 64, {}};
    const auto begin = pictures.rgb.begin() + video.indices[i] * 96 * 64 * 3;
    frame.rgb.assign(begin, begin + 96 * 64 * 3);
    const ImageSize target = target_size({96, 64}, kDefaultVideoFrameBudget);
    const bool equal =
        video.frames[i].rgb == resize_bicubic(frame, target.width, target.height).rgb;
    CHECK(equal);
  }
}

TEST_CASE("the frames of every container are the right ones, far jumps included") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_ramp(folder, 300);
  struct Case {
    std::string flags, name;
    double tolerance;  // levels
  };
  for (const auto& [flags, name, tolerance] :
       std::vector<Case>{{"-c:v libx264 -g 24 -bf 2", "a.mp4", 3.0},
                         {"-c:v libx264 -g 24 -bf 2", "a.mkv", 3.0},
                         {"-c:v libx264 -g 24 -bf 2", "a.ts", 3.0},
                         {"-c:v libvpx-vp9 -g 24 -cpu-used 8 -b:v 1M", "a.webm", 3.0},
                         {"-c:v mpeg4 -g 24 -bf 0 -q:v 2", "a.avi", 4.0},
                         {"-c:v mpeg4 -g 24 -q:v 2", "a.mov", 4.0},
                         {"-vf format=gray", "a.gif", 4.0}}) {
    CAPTURE(name);
    run_command("ffmpeg -v error -f rawvideo -pix_fmt rgb24 -s 64x48 -r 25 -i " +
                folder.file("ramp.raw") + " " + flags + " " + folder.file(name));
    const VideoFrames video = sample_file(folder.file(name));
    CHECK(video.total_frames == 300);
    CHECK(video.fps == doctest::Approx(25.0).epsilon(0.01));
    REQUIRE(video.frames.size() == 32);
    for (size_t i = 0; i < 32; ++i) {
      CAPTURE(i);
      CHECK(video.indices[i] == static_cast<int64_t>(i) * 300 / 32);
      CHECK(std::fabs(mean_level(video.frames[i]) - (20 + 200 * video.indices[i] / 300)) <
            tolerance);
    }
    CHECK(video.timestamps.back() == "00:11");
  }
}

TEST_CASE("a frame rate samples by time, and short videos give all their frames") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_ramp(folder, 10);
  run_command("ffmpeg -v error -f rawvideo -pix_fmt rgb24 -s 64x48 -r 5 -i " +
              folder.file("ramp.raw") + " -c:v ffv1 " + folder.file("a.mkv"));
  CHECK(sample_file(folder.file("a.mkv")).frames.size() == 10);
  VideoOptions options;
  options.fps = 1.0;
  const VideoFrames video = sample_file(folder.file("a.mkv"), options);
  CHECK(video.indices == std::vector<int64_t>{0, 5});
  CHECK(video.timestamps == std::vector<std::string>{"00:00", "00:01"});
}

TEST_CASE("transparent frames are blended on white") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  std::string raw;
  for (int i = 0; i < 2 * 64 * 48; ++i) raw += std::string("\x64\x64\x64\x80", 4);
  write_bytes(folder.file("a.raw"), raw);
  run_command("ffmpeg -v error -f rawvideo -pix_fmt rgba -s 64x48 -r 5 -i " + folder.file("a.raw") +
              " -c:v png " + folder.file("a.mov"));
  const VideoFrames video = sample_file(folder.file("a.mov"));
  REQUIRE(video.frames.size() == 2);
  CHECK(video.frames[0].rgb[0] == (100 * 128 + 255 * 127 + 127) / 255);
}

TEST_CASE("a video filmed sideways is turned upright") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  run_command(
      "ffmpeg -v error -f lavfi -i color=red:s=96x48:d=1:r=5 -f lavfi -i "
      "color=blue:s=96x48:d=1:r=5 -filter_complex hstack -c:v mpeg4 -q:v 2 " +
      folder.file("plain.mp4"));
  run_command("ffmpeg -v error -i " + folder.file("plain.mp4") +
              " -c copy -metadata:s:v rotate=90 " + folder.file("turned.mp4"));
  run_command("ffmpeg -v error -i " + folder.file("turned.mp4") + " -frames:v 1 " +
              folder.file("upright.png"));  // what players show
  const Image plain = sample_file(folder.file("plain.mp4")).frames[0];
  const Image turned = sample_file(folder.file("turned.mp4")).frames[0];
  const Image upright = decode_image(*MediaSource::open(folder.file("upright.png")));
  CHECK(plain.width > plain.height);
  CHECK(turned.width == plain.height);
  CHECK(turned.height == plain.width);
  for (size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(turned.rgb[c] - upright.rgb[c]) < 10);
    CHECK(std::abs(turned.rgb[turned.rgb.size() - 3 + c] -
                   upright.rgb[upright.rgb.size() - 3 + c]) < 10);
  }
  CHECK(std::abs(turned.rgb[0] - turned.rgb[turned.rgb.size() - 3]) > 200);
}

TEST_CASE("files without video frames are refused") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  write_bytes(folder.file("a.wav"),
              wav_bytes(pcm_bytes(std::vector<int16_t>(8000)), 1, 1, 16000, 16));
  CHECK(contains(error_of([&] { sample_file(folder.file("a.wav")); }), "no video"));
  run_command("ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x48 -frames:v 0 -c:v mpeg4 " +
              folder.file("none.avi"));
  error_of([&] { sample_file(folder.file("none.avi")); });
  error_of([&] { sample_video(MediaSource::from_bytes("just some words", "a.mp4")); });
  // A cover picture is not a video.
  run_command("ffmpeg -v error -f lavfi -i testsrc=d=1:s=64x48 -frames:v 1 " +
              folder.file("cover.png"));
  run_command("ffmpeg -v error -i " + folder.file("a.wav") + " -i " + folder.file("cover.png") +
              " -map 0 -map 1 -c:v png -disposition:v attached_pic -c:a libmp3lame " +
              folder.file("a.mp3"));
  CHECK(contains(error_of([&] { sample_file(folder.file("a.mp3")); }), "no video"));
}

TEST_CASE("truncated videos, too large frames and impossible counts are refused") {
  if (!has_program("ffmpeg")) return;
  const TemporaryFolder folder;
  run_command("ffmpeg -v error -f lavfi -i testsrc=d=2:s=320x240 -c:v mpeg4 " +
              folder.file("a.mp4"));
  const std::string whole = file_bytes(folder.file("a.mp4"));
  error_of([&] { sample_video(MediaSource::from_bytes(whole.substr(0, whole.size() / 2), "a")); });
  VideoOptions options;
  options.max_pixels = 320 * 240 - 1;
  CHECK(contains(error_of([&] { sample_file(folder.file("a.mp4"), options); }), "--max-pixels"));
  options.max_pixels = 320 * 240;
  CHECK(sample_file(folder.file("a.mp4"), options).frames.size() == 32);
  options.num_frames = 0;
  error_of([&] { sample_file(folder.file("a.mp4"), options); }, ErrorKind::kUsage);
  options.num_frames = 5000;
  error_of([&] { sample_file(folder.file("a.mp4"), options); }, ErrorKind::kUsage);
  options.num_frames = 32;
  options.fps = std::nan("");
  error_of([&] { sample_file(folder.file("a.mp4"), options); }, ErrorKind::kUsage);
}

}  // namespace
}  // namespace gemma4
