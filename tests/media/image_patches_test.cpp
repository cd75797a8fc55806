#include "lib/media/image_patches.h"

#include <doctest/doctest.h>

#include "lib/io/json.h"
#include "lib/media/image_decode.h"
#include "lib/media/image_resize.h"
#include "tests/media/media_files.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

/// The pattern of the specification's resize goldens (vision-audio-video.md 1.3).
Image pattern_image(int width, int height) {
  Image image{width, height, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < 3; ++c) {
        image.rgb.push_back(static_cast<uint8_t>(7 * x + 13 * y + 29 * c + (x * y) % 31));
      }
    }
  }
  return image;
}

std::vector<int> pixel(const Image& image, int x, int y) {
  const size_t at = (static_cast<size_t>(y) * image.width + x) * 3;
  return {image.rgb[at], image.rgb[at + 1], image.rgb[at + 2]};
}

TEST_CASE("resized pixels equal Pillow's") {
  struct Case {
    int width, height, to_width, to_height;
    int64_t sum;
    std::vector<int> origin, middle, corner;
  };
  const std::vector<Case> cases = {
      {100, 60, 480, 288, 52986487, {0, 27, 56}, {59, 88, 117}, {125, 154, 183}},
      {1000, 600, 480, 288, 52882489, {12, 41, 70}, {29, 42, 78}, {96, 14, 57}},
      {640, 480, 432, 336, 55529560, {5, 34, 63}, {108, 137, 166}, {90, 119, 148}},
  };
  for (const Case& c : cases) {
    const Image out = resize_bicubic(pattern_image(c.width, c.height), c.to_width, c.to_height);
    int64_t sum = 0;
    for (const uint8_t value : out.rgb) sum += value;
    CHECK(sum == c.sum);
    CHECK(pixel(out, 0, 0) == c.origin);
    CHECK(pixel(out, 200, 100) == c.middle);
    CHECK(pixel(out, 431, 287) == c.corner);
  }
}

TEST_CASE("an axis that keeps its size is copied unchanged") {
  const Image image = pattern_image(50, 40);
  CHECK(resize_bicubic(image, 50, 40).rgb == image.rgb);
  const Image taller = resize_bicubic(image, 50, 80);
  CHECK(taller.width == 50);
  CHECK(resize_bicubic(Image{1, 1, {9, 8, 7}}, 3, 2).rgb ==
        std::vector<uint8_t>{9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7, 9, 8, 7});
}

TEST_CASE("target sizes equal the specification's table, rounding-sensitive sizes included") {
  struct Row {
    int height, width, budget, target_height, target_width;
  };
  const std::vector<Row> rows = {
      {512, 512, 70, 384, 384},     {1, 1, 280, 768, 768},        {512, 512, 1120, 1584, 1584},
      {480, 640, 70, 336, 432},     {480, 640, 140, 480, 624},    {480, 640, 280, 672, 912},
      {480, 640, 560, 960, 1296},   {480, 640, 1120, 1344, 1824}, {1080, 1920, 70, 288, 528},
      {1080, 1920, 280, 576, 1056}, {2400, 1600, 280, 960, 624},  {100, 1000, 560, 336, 3552},
      {30, 500, 140, 96, 2304},     {20, 2000, 70, 48, 3360},     {20, 2000, 1120, 144, 16032},
      {10, 5000, 280, 48, 13440},   {10, 5000, 1120, 48, 35904},  {672, 960, 280, 672, 960},
      {1344, 1920, 280, 672, 960},  {440, 4928, 280, 192, 2688},  {880, 9856, 280, 192, 2688},
      {680, 7616, 280, 192, 2640},  {616, 3520, 280, 336, 1872},  {352, 6160, 70, 96, 1632},
      {544, 9520, 70, 48, 1632},    {544, 4760, 140, 144, 1632},  {1760, 4928, 1120, 912, 2688},
  };
  for (const Row& row : rows) {
    CAPTURE(row.height);
    CAPTURE(row.width);
    CAPTURE(row.budget);
    const ImageSize target = target_size({row.width, row.height}, row.budget);
    CHECK(target == ImageSize{row.target_width, row.target_height});
  }
}

TEST_CASE("other patch sizes, budgets and poolings fit as in the reference's own tests") {
  CHECK(fit_to_patches({512, 512}, 16, 256, 1) == ImageSize{256, 256});
  CHECK(fit_to_patches({10000, 50}, 10, 200, 1) == ImageSize{2000, 10});
  CHECK(fit_to_patches({10000, 25}, 10, 200, 1) == ImageSize{2000, 10});
  CHECK(fit_to_patches({34, 2785}, 16, 2304, 6) == ImageSize{96, 6144});
  CHECK(fit_to_patches({1000, 50}, 4, 64, 2) == ImageSize{128, 8});
  CHECK(fit_to_patches({100, 100}, 5, 100, 3) == ImageSize{45, 45});
  CHECK(fit_to_patches({100, 5}, 5, 20, 3) == ImageSize{30, 15});
}

TEST_CASE("every shape of image gets between 1 and its budget of soft tokens") {
  for (const int budget : kImageBudgets) {
    for (const int width : {1, 2, 47, 49, 333, 5000, 65535}) {
      for (const int height : {1, 3, 48, 1000, 65535}) {
        const ImageSize target = target_size({width, height}, budget);
        CHECK(target.width % 48 == 0);
        CHECK(target.height % 48 == 0);
        CHECK(soft_token_count(target) >= 1);
        CHECK(soft_token_count(target) <= budget);
      }
    }
  }
}

TEST_CASE("an illegal budget and an empty image are refused") {
  CHECK(contains(error_of([] { target_size({10, 10}, 100); }, ErrorKind::kUsage), "100"));
  error_of([] { target_size({0, 10}, 280); });
}

TEST_CASE("patches hold (y, x, channel) row by row, positions x first") {
  Image image{96, 48, {}};
  for (int i = 0; i < 96 * 48 * 3; ++i) image.rgb.push_back(static_cast<uint8_t>(i * 31 + i / 256));
  for (const int side : {16, 48}) {
    const ImagePatches patches = cut_patches(image, side);
    CHECK(patches.count() == (96 / side) * (48 / side));
    CHECK(patches.soft_tokens() == 2);
    for (int p = 0; p < patches.count(); ++p) {
      const int px = patches.positions[2 * p];
      const int py = patches.positions[2 * p + 1];
      CHECK(p == py * patches.columns + px);
      bool equal = true;
      for (int r = 0; r < side; ++r) {
        for (int s = 0; s < side * 3; ++s) {
          equal = equal && patches.pixels[(p * side + r) * side * 3 + s] ==
                               image.rgb[((py * side + r) * 96 + px * side) * 3 + s];
        }
      }
      CHECK(equal);
    }
  }
  error_of([&] { cut_patches(image, 36); }, ErrorKind::kInternal);
}

TEST_CASE("patch values are pixels over 255") {
  const ImagePatches patches{1, 3, 1, {0, 128, 255}, {}};
  const auto values = patch_values(patches);
  CHECK(values[0] == 0.0f);
  CHECK(values[1] == doctest::Approx(128 / 255.0).epsilon(1e-7));
  CHECK(values[2] == 1.0f);
}

void check_golden_images(const std::string& folder, int patch_size) {
  const auto meta = read_json_file(golden_dir(folder) / "meta.json", ErrorKind::kInput);
  const SafetensorsFile goldens(golden_dir(folder) / "goldens.safetensors");
  REQUIRE(meta.at("images").size() >= 2);
  int index = 0;
  for (const auto& entry : meta.at("images")) {
    CAPTURE(folder);
    CAPTURE(index);
    const auto path = golden_dir(folder) / entry.at("file").get<std::string>();
    const Image image = decode_image(*MediaSource::open(path.string()));
    CHECK(image.width == entry.at("width").get<int>());
    const auto patches = prepare_image(image, entry.at("max_soft_tokens").get<int>(), patch_size);
    CHECK(patches.soft_tokens() == entry.at("soft_tokens").get<int>());
    const std::string name = "img" + std::to_string(index++);
    const bool equal_pixels =
        patches.pixels == tensor_values<uint8_t>(goldens, name + ".patches_u8");
    CHECK(equal_pixels);
    const auto positions = tensor_values<int64_t>(goldens, name + ".position_ids");
    CHECK(std::vector<int64_t>(patches.positions.begin(), patches.positions.end()) == positions);
  }
}

TEST_CASE("RGB, RGBA and grey golden images give the reference's patches and positions") {
  check_golden_images("vision-e", kTowerPatchSize);
  check_golden_images("vision-31b", kTowerPatchSize);
}

TEST_CASE("golden images of the encoder-free model give the reference's merged patches") {
  check_golden_images("unified", kUnifiedPatchSize);
}

}  // namespace
}  // namespace gemma4
