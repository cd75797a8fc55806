// The encoder-free family, images and raw audio, against the official implementation's own numbers,
// on every backend. Tolerances: ../shared/goldens/README.md.
#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/model/unified_embedder.h"
#include "tests/support/media_prompt.h"

namespace gemma4 {
namespace {

struct Encoded {
  std::vector<SoftTokens> images;
  std::vector<SoftTokens> clips;
};

Encoded encode_all(DecoderFixture& run, const SafetensorsFile& golden) {
  std::vector<std::vector<float>> patches, features;
  std::vector<std::vector<int32_t>> positions;
  std::vector<ImageInput> images;
  std::vector<AudioInput> clips;
  for (const char* name : {"0.", "1."}) {
    patches.push_back(patch_values_of(golden, std::string("img") + name + "patches_u8"));
    positions.push_back(ids_of(golden, std::string("img") + name + "position_ids"));
    features.push_back(floats_of(golden, std::string("clip") + name + "features"));
  }
  for (size_t i = 0; i < 2; ++i) {
    images.push_back({patches[i], positions[i]});
    clips.push_back({features[i]});
  }
  return {run.media.image->encode(images), run.media.audio->encode(clips)};
}

}  // namespace

TEST_CASE("images and audio are embedded as in the official encoder-free implementation") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    DecoderFixture run("unified", device, Dtype::kF32);
    const SafetensorsFile golden(golden_dir("unified") / "goldens.safetensors");
    auto& embedder = dynamic_cast<UnifiedImageEmbedder&>(*run.media.image);
    CHECK(embedder.patch_size() == 48);
    CHECK(run.media.audio->features() == AudioFeatures::kSamples);
    CHECK(run.media.audio->frame_values() == 640);
    int compared = 0;  // two tensors an image, in order
    embedder.set_probe([&](std::string_view what, Matrix value) {
      const std::string name = "img" + std::to_string(compared++ / 2) + "." + std::string(what);
      check_matrix(name, *run.ops, value, floats_of(golden, name));
    });
    const Encoded encoded = encode_all(run, golden);
    CHECK(compared == 4);
    for (size_t i = 0; i < 2; ++i) {
      const std::string image = "img" + std::to_string(i) + ".soft_tokens";
      const std::string clip = "clip" + std::to_string(i) + ".soft_tokens";
      check_tensor(image, encoded.images[i].values.data(), encoded.images[i].values.size(),
                   floats_of(golden, image));
      check_tensor(clip, encoded.clips[i].values.data(), encoded.clips[i].values.size(),
                   floats_of(golden, clip));
    }
  }
}

TEST_CASE("encoder-free prompts run as in the official implementation") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    DecoderFixture run("unified", device, Dtype::kF32, 256);
    const SafetensorsFile golden(golden_dir("unified") / "goldens.safetensors");
    const Encoded encoded = encode_all(run, golden);
    const SoftTokens* image0 = encoded.images.data();
    const SoftTokens* image1 = image0 + 1;
    const SoftTokens* clip0 = encoded.clips.data();
    const SoftTokens* clip1 = clip0 + 1;
    // The snapshot that made this golden has an image mask of its own (ruling 7).
    const ImageMaskRule rule = ImageMaskRule::kAllLayersUnbounded;
    check_prompt(run, golden, "prompt0.", {image0}, rule);
    check_prompt(run, golden, "prompt1.", {clip0}, rule);
    check_prompt(run, golden, "prompt2.", {image1, image0, clip1}, rule);
  }
}

TEST_CASE("a patch beyond the position table is refused") {
  DecoderFixture run("unified", "reference", Dtype::kF32);
  const int32_t side = run.media.image->max_grid() + 1;
  const std::vector<float> patches(static_cast<size_t>(side) * 6912, 0.5f);
  std::vector<int32_t> positions;
  for (int32_t x = 0; x < side; ++x) positions.insert(positions.end(), {x, 0});
  const ImageInput input{patches, positions};
  CHECK_THROWS_AS(run.media.image->encode({&input, 1}), Error);
}

}  // namespace gemma4
