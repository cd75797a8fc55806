#include "lib/media/media_layout.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "lib/io/json.h"
#include "lib/media/log_mel.h"
#include "lib/media/video_sampling.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

/// The readable run-length form of layout.json.
std::string piece_text(const MediaPiece& piece) {
  const std::string times = " x" + std::to_string(piece.count);
  switch (piece.kind) {
    case MediaTokenKind::kText:
      return piece.text;
    case MediaTokenKind::kBeginImage:
      return "<|image>";
    case MediaTokenKind::kImage:
      return "<|image|>" + times;
    case MediaTokenKind::kEndImage:
      return "<image|>";
    case MediaTokenKind::kVideo:
      return "<|video|>" + times;
    case MediaTokenKind::kBeginAudio:
      return "<|audio>";
    case MediaTokenKind::kAudio:
      return "<|audio|>" + times;
    case MediaTokenKind::kEndAudio:
      return "<audio|>";
  }
  return {};
}

std::vector<std::string> piece_texts(const std::vector<MediaPiece>& pieces) {
  std::vector<std::string> texts;
  std::transform(pieces.begin(), pieces.end(), std::back_inserter(texts), piece_text);
  return texts;
}

Json layout(const std::string& folder) {
  return read_json_file(golden_dir(folder) / "layout.json", ErrorKind::kInput);
}

ImageSize size_of(const Json& entry) { return {entry[0].get<int>(), entry[1].get<int>()}; }

TEST_CASE("soft-token counts of images and clips equal the reference's") {
  const Json document = layout("processor-layout");
  REQUIRE(document.at("counts").size() >= 2);
  for (const auto& entry : document.at("counts")) {
    CAPTURE(entry.dump());
    const auto expected = entry.at("soft_tokens").get<int64_t>();
    if (entry.at("what") == "image") {
      CHECK(image_soft_tokens(size_of(entry.at("size_wh")), entry.at("max_soft_tokens")) ==
            expected);
    } else {
      CHECK(conformer_soft_tokens(entry.at("samples")) == expected);
    }
  }
}

TEST_CASE("soft-token counts of the encoder-free model equal the reference's") {
  const Json document = layout("unified");
  REQUIRE(document.at("counts").size() >= 2);
  for (const auto& entry : document.at("counts")) {
    CAPTURE(entry.dump());
    const auto expected = entry.at("soft_tokens").get<int64_t>();
    if (entry.at("what") == "image") {
      CHECK(image_soft_tokens(size_of(entry.at("size_wh")), entry.at("max_soft_tokens")) ==
            expected);
    } else {
      CHECK(raw_audio_soft_tokens(entry.at("samples")) == expected);
    }
  }
}

TEST_CASE("conformer token counts follow the two halving stages for every length") {
  const LogMel log_mel;
  for (int64_t samples = 161; samples <= 20000; ++samples) {
    const int64_t frames = log_mel.frame_count(samples);
    const int64_t half = (frames - 1) / 2 + 1;
    REQUIRE(conformer_soft_tokens(samples) == (half - 1) / 2 + 1);
  }
  CHECK(conformer_soft_tokens(160) == 0);
  for (const auto& [samples, tokens] : std::vector<std::pair<int64_t, int64_t>>{
           {161, 1}, {38560, 60}, {48800, 76}, {99360, 155}, {480000, 750}, {640000, 750}}) {
    CHECK(conformer_soft_tokens(samples) == tokens);
  }
}

TEST_CASE("image and audio placeholders expand as in the reference's prompts") {
  const Json document = layout("processor-layout");
  REQUIRE(document.at("prompts").size() >= 2);
  for (const auto& prompt : document.at("prompts")) {
    std::vector<std::string> expected;
    for (const auto& run : prompt.at("runs")) {
      const auto text = run.get<std::string>();
      if (text.starts_with("<|image") || text.starts_with("<image") ||
          text.starts_with("<|audio") || text.starts_with("<audio")) {
        expected.push_back(text);
      }
    }
    // In these prompts every image comes before every clip.
    std::vector<std::string> actual;
    const auto append = [&](const std::vector<MediaPiece>& pieces) {
      const auto texts = piece_texts(pieces);
      actual.insert(actual.end(), texts.begin(), texts.end());
    };
    for (const auto& size : prompt.at("images_wh")) {
      append(image_pieces(image_soft_tokens(size_of(size), prompt.at("max_soft_tokens"))));
    }
    for (const auto& samples : prompt.at("audio_samples")) {
      append(audio_pieces(conformer_soft_tokens(samples)));
    }
    CHECK(actual == expected);
  }
}

TEST_CASE("videos are sampled, time-stamped and expanded as in the reference") {
  int compared = 0;
  const Json document = layout("processor-layout");
  REQUIRE(document.at("videos").size() >= 2);
  for (const auto& video : document.at("videos")) {
    const auto total = video.at("frames").get<int64_t>();
    const auto fps = video.at("fps").get<double>();
    const auto indices = spread_frames(total, video.at("num_frames").get<int64_t>());
    if (video.contains("reference_error")) {  // fewer frames than asked for: we take them all
      CHECK(indices.size() == static_cast<size_t>(total));
      continue;
    }
    CHECK(indices == video.at("sampled_indices").get<std::vector<int64_t>>());
    std::vector<std::string> times;
    for (const int64_t index : indices) times.push_back(frame_timestamp(index, fps));
    const int tokens = image_soft_tokens(size_of(video.at("size_wh")), kDefaultVideoFrameBudget);
    CHECK(piece_texts(video_pieces(times, tokens)) ==
          video.at("input_ids_runs").get<std::vector<std::string>>());
    ++compared;
  }
  CHECK(compared == 2);
}

TEST_CASE("frames are spread from the first one on") {
  CHECK(spread_frames(100, 32)[4] == 12);
  CHECK(spread_frames(100, 32).back() == 96);
  CHECK(spread_frames(900, 32)[1] == 28);
  CHECK(spread_frames(900, 32).back() == 871);
  CHECK(spread_frames(3, 32) == std::vector<int64_t>{0, 1, 2});
  CHECK(spread_frames(0, 32).empty());
}

TEST_CASE("a frame rate gives a count between one and all frames") {
  CHECK(frame_count_for_fps(900, 30.0, 2.0) == 60);
  CHECK(frame_count_for_fps(899, 30.0, 1.0) == 29);
  CHECK(frame_count_for_fps(10, 30.0, 1.0) == 1);
  CHECK(frame_count_for_fps(10, 30.0, 1000.0) == 10);
  CHECK(frame_count_for_fps(0, 30.0, 1.0) == 0);
}

TEST_CASE("timestamps are rounded down and minutes may exceed two digits") {
  CHECK(frame_timestamp(0, 24.0) == "00:00");
  CHECK(frame_timestamp(119, 2.0) == "00:59");
  CHECK(frame_timestamp(120, 2.0) == "01:00");
  CHECK(frame_timestamp(6000, 1.0) == "100:00");
  CHECK(frame_timestamp(18, 30000.0 / 1001.0) == "00:00");
}

}  // namespace
}  // namespace gemma4
