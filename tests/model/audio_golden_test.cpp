// The conformer, and clips merged into prompts, against the official implementation's own numbers,
// on every backend. Tolerances: ../shared/goldens/README.md.
#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/model/audio_encoder.h"
#include "tests/support/media_prompt.h"

namespace gemma4 {
namespace {

// The log-mel frames that hold real samples; masked ones trail.
std::vector<float> mel_of(const SafetensorsFile& golden, int clip) {
  const std::string prefix = "clip" + std::to_string(clip) + ".";
  std::vector<float> mel = floats_of(golden, prefix + "mel");
  const std::optional<Tensor> mask = golden.find(prefix + "mel_mask");
  REQUIRE(mask.has_value());
  const auto* valid = static_cast<const uint8_t*>(mask->data);
  mel.resize(static_cast<size_t>(std::count(valid, valid + mask->elements(), 1)) * kMelBins);
  return mel;
}

}  // namespace

TEST_CASE("every clip comes out of the conformer as out of the official implementation's") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    DecoderFixture run("audio-e", device, Dtype::kF32);
    const SafetensorsFile golden(golden_dir("audio-e") / "goldens.safetensors");
    auto& tower = dynamic_cast<ConformerEncoder&>(*run.media.audio);
    CHECK(tower.features() == AudioFeatures::kLogMel);
    CHECK(tower.frame_values() == 128);
    for (int i = 0; i < 2; ++i) {
      const std::string prefix = "clip" + std::to_string(i) + ".";
      int compared = 0;
      tower.set_probe([&](std::string_view what, int32_t layer, Matrix value) {
        const std::string name =
            layer < 0 ? prefix + std::string(what)
                      : prefix + "alayer0" + std::to_string(layer) + "." + std::string(what);
        if (!golden.find(name)) return;
        check_matrix(name, *run.ops, value, floats_of(golden, name));
        ++compared;
      });
      const std::vector<float> mel = mel_of(golden, i);
      const AudioInput input{mel};
      const std::vector<SoftTokens> soft = tower.encode({&input, 1});
      CHECK(compared == 8);
      REQUIRE(soft.size() == 1);
      CHECK(soft[0].rows == tower.soft_tokens(static_cast<int64_t>(mel.size()) / kMelBins));
      check_tensor(prefix + "soft_tokens", soft[0].values.data(), soft[0].values.size(),
                   floats_of(golden, prefix + "soft_tokens"));
    }
  }
}

TEST_CASE("prompts with audio run as in the official implementation") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    DecoderFixture run("audio-e", device, Dtype::kF32, 256);
    const SafetensorsFile golden(golden_dir("audio-e") / "goldens.safetensors");
    // Both clips at once, though they differ in length.
    const std::vector<float> mels[] = {mel_of(golden, 0), mel_of(golden, 1)};
    const AudioInput inputs[] = {{mels[0]}, {mels[1]}};
    const std::vector<SoftTokens> soft = run.media.audio->encode(inputs);
    REQUIRE(soft.size() == 2);
    check_prompt(run, golden, "prompt0.", {&soft[0]});
    check_prompt(run, golden, "prompt1.", {&soft[0], &soft[1]});
  }
}

TEST_CASE("thirteen keys, as the model option may ask for, change the outcome") {
  const auto device = std::string("reference");
  DecoderFixture run("audio-e", device, Dtype::kF32);
  const SafetensorsFile golden(golden_dir("audio-e") / "goldens.safetensors");
  CheckpointTensors source(run.checkpoint, *run.ops);
  const MediaEncoders other =
      load_media_encoders(source, run.config, *run.ops, {.audio_left_keys = 13});
  const std::vector<float> mel = mel_of(golden, 1);
  const AudioInput input{mel};
  const SoftTokens a = run.media.audio->encode({&input, 1})[0];
  const SoftTokens b = other.audio->encode({&input, 1})[0];
  // The first twelve frames have no thirteenth key.
  const size_t same = 12 * static_cast<size_t>(run.config.text.hidden_size);
  CHECK(difference(a.values.data(), b.values.data(), same).max <= 1e-5);
  CHECK(difference(a.values.data(), b.values.data(), a.values.size()).max > 1e-3);
}

TEST_CASE("an empty clip and half a frame are refused") {
  DecoderFixture run("audio-e", "reference", Dtype::kF32);
  const std::vector<float> mel(kMelBins + 1, 0.0f);
  const AudioInput empty{};
  const AudioInput uneven{mel};
  CHECK_THROWS_AS(run.media.audio->encode({&empty, 1}), Error);
  CHECK_THROWS_AS(run.media.audio->encode({&uneven, 1}), Error);
  CHECK(run.media.audio->encode({}).empty());
}

}  // namespace gemma4
