// The vision tower, images and video frames merged into prompts, against the official
// implementation's own numbers, on every backend. Tolerances: ../shared/goldens/README.md.
#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/model/vision_encoder.h"
#include "tests/support/media_prompt.h"

namespace gemma4 {
namespace {

struct GoldenImage {
  GoldenImage(const SafetensorsFile& golden, const std::string& patches_name,
              const std::string& positions_name)
      : patches(patch_values_of(golden, patches_name)), positions(ids_of(golden, positions_name)) {}
  ImageInput input() const { return {patches, positions}; }

  std::vector<float> patches;
  std::vector<int32_t> positions;
};

GoldenImage image_of(const SafetensorsFile& golden, int index) {
  const std::string prefix = "img" + std::to_string(index) + ".";
  return {golden, prefix + "patches_u8", prefix + "position_ids"};
}

struct Family {
  std::string name;
  int images;
  std::vector<std::vector<int>> prompts;  // images of each prompt, in order
};

const std::vector<Family> kFamilies = {{"vision-e", 4, {{0}, {1, 0}, {3}}},
                                       {"vision-31b", 2, {{0}, {1, 0}}}};

}  // namespace

TEST_CASE("every image comes out of the tower as out of the official implementation's") {
  for (const std::string& device : built_backends()) {
    for (const Family& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family.name);
      DecoderFixture run(family.name, device, Dtype::kF32);
      const SafetensorsFile golden(golden_dir(family.name) / "goldens.safetensors");
      auto& tower = dynamic_cast<VisionEncoder&>(*run.media.image);
      CHECK(tower.patch_size() == 16);
      for (int i = 0; i < family.images; ++i) {
        const std::string prefix = "img" + std::to_string(i) + ".";
        int compared = 0;
        tower.set_probe([&](std::string_view what, int32_t layer, Matrix value) {
          const std::string name =
              layer < 0 ? prefix + std::string(what)
                        : prefix + "vlayer0" + std::to_string(layer) + "." + std::string(what);
          if (!golden.find(name)) return;
          check_matrix(name, *run.ops, value, floats_of(golden, name));
          ++compared;
        });
        const GoldenImage image = image_of(golden, i);
        const ImageInput input = image.input();
        const std::vector<SoftTokens> soft = tower.encode({&input, 1});
        CHECK(compared == (i == 0 ? 5 : 1));
        REQUIRE(soft.size() == 1);
        check_tensor(prefix + "soft_tokens", soft[0].values.data(), soft[0].values.size(),
                     floats_of(golden, prefix + "soft_tokens"));
      }
    }
  }
}

TEST_CASE("prompts with images run as in the official implementation") {
  for (const std::string& device : built_backends()) {
    for (const Family& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family.name);
      DecoderFixture run(family.name, device, Dtype::kF32, 256);
      const SafetensorsFile golden(golden_dir(family.name) / "goldens.safetensors");
      // All images at once: a batch gives each what it gets alone.
      std::vector<GoldenImage> images;
      std::vector<ImageInput> inputs;
      for (int i = 0; i < family.images; ++i) images.push_back(image_of(golden, i));
      for (const GoldenImage& image : images) inputs.push_back(image.input());
      const std::vector<SoftTokens> soft = run.media.image->encode(inputs);
      REQUIRE(soft.size() == inputs.size());
      for (size_t p = 0; p < family.prompts.size(); ++p) {
        std::vector<const SoftTokens*> wanted;
        for (const int i : family.prompts[p]) wanted.push_back(&soft[static_cast<size_t>(i)]);
        check_prompt(run, golden, "prompt" + std::to_string(p) + ".", wanted);
      }
    }
  }
}

TEST_CASE("the frames of a video run as in the official implementation") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    DecoderFixture run("vision-31b", device, Dtype::kF32, 256);
    const SafetensorsFile golden(golden_dir("video") / "goldens.safetensors");
    const GoldenImage frame(golden, "frame0.patches_u8", "position_ids");
    const ImageInput input = frame.input();
    const std::vector<SoftTokens> first = run.media.image->encode({&input, 1});
    SoftTokens all;
    all.values = floats_of(golden, "soft_tokens");
    all.rows = static_cast<int64_t>(all.values.size()) / run.config.text.hidden_size;
    const std::vector<float> expected(all.values.begin(),
                                      all.values.begin() + std::ssize(first[0].values));
    check_tensor("frame 0", first[0].values.data(), first[0].values.size(), expected);
    // The pixels of the other frames are not in the golden, their soft tokens are.
    check_prompt(run, golden, "", {&all});
  }
}

TEST_CASE("patches that are no grid, or too large a one, are refused") {
  DecoderFixture run("vision-e", "reference", Dtype::kF32);
  const std::vector<float> patches(9 * 768, 0.5f);
  std::vector<int32_t> positions;
  for (int32_t i = 0; i < 9; ++i) positions.insert(positions.end(), {i % 3, i / 3});
  const auto encode = [&](std::span<const float> pixels, std::span<const int32_t> where) {
    const ImageInput input{pixels, where};
    return run.media.image->encode({&input, 1});
  };
  CHECK(encode(patches, positions)[0].rows == 1);
  CHECK_THROWS_AS(encode({}, {}), Error);
  CHECK_THROWS_AS(encode(std::span(patches).first(768), positions), Error);
  CHECK_THROWS_AS(encode(std::span(patches).first(6 * 768), std::span(positions).first(12)),
                  Error);  // 3 x 2 patches cannot be pooled
  std::swap(positions[0], positions[2]);
  CHECK_THROWS_AS(encode(patches, positions), Error);
  positions[0] = -1;
  CHECK_THROWS_AS(encode(patches, positions), Error);
  std::vector<int32_t> wide;
  for (int32_t y = 0; y < 3; ++y) {
    for (int32_t x = 0; x < 450; ++x) wide.insert(wide.end(), {x, y});
  }
  CHECK_THROWS_AS(encode(std::vector<float>(1350 * 768, 0.5f), wide), Error);
}

}  // namespace gemma4
