// Quantised keys and values end to end: the logits against those of bf16 and float32 ones, and the
// scales that a checkpoint brings.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <fstream>

#include "lib/base/error.h"
#include "lib/io/safetensors_writer.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

std::vector<float> logits(const std::string& family, const std::string& device, Dtype dtype) {
  DecoderFixture run(family, device, dtype);
  const SafetensorsFile golden(golden_dir(family) / "goldens.safetensors");
  return run.logits(ids_of(golden, "input_ids"), 24);
}

}  // namespace

TEST_CASE("quantised keys and values change the logits of every text family little") {
  for (const std::string& device : built_backends()) {
    for (const std::string family : {"text-e", "text-e-causal", "text-31b", "text-moe"}) {
      CAPTURE(device);
      CAPTURE(family);
      const std::vector<float> bf16 = logits(family, device, Dtype::kBf16);
      double squares = 0.0;
      for (const float logit : bf16) squares += static_cast<double>(logit) * logit;
      const double size = std::sqrt(squares / static_cast<double>(bf16.size()));
      const auto error = [&](Dtype dtype) {
        const std::vector<float> got = logits(family, device, dtype);
        return difference(got.data(), bf16.data(), bf16.size()).rms / size;
      };
      const double int8 = error(Dtype::kI8);
      const double fp8 = error(Dtype::kF8E4M3);
      // Measured on these random weights, which amplify: 0.018 to 0.025 and 0.09 to 0.13; with
      // experts, some of which change, 0.12 and 0.21.
      const bool experts = family == "text-moe";
      CHECK(int8 < (experts ? 0.2 : 0.04));
      CHECK(fp8 < (experts ? 0.35 : 0.2));
      CHECK(int8 > 0.001);
      CHECK(fp8 > int8);
    }
  }
}

TEST_CASE("a ring that was saved and put back gives the same logits, in every format") {
  for (const std::string& device : built_backends()) {
    for (const Dtype dtype : {Dtype::kF32, Dtype::kBf16, Dtype::kI8, Dtype::kF8E4M3}) {
      CAPTURE(device);
      CAPTURE(static_cast<int>(dtype));
      DecoderFixture run("text-e", device, dtype, 16);
      const SafetensorsFile golden(golden_dir("text-e") / "goldens.safetensors");
      std::vector<int32_t> ids = ids_of(golden, "input_ids");
      ids.resize(40);
      run.logits(ids, 16);
      const std::vector<std::byte> saved = run.cache->save_ring(0);
      const std::vector<float> before = run.logits({ids[3]}, 1, 40);
      // Other tokens take every place of the ring.
      std::vector<int32_t> others(static_cast<size_t>(run.cache->ring_size()), ids[5]);
      run.logits(others, 16, 41);
      CHECK(run.logits({ids[3]}, 1, 40) != before);
      run.cache->load_ring(0, saved);
      CHECK(run.logits({ids[3]}, 1, 40) == before);
    }
  }
}

TEST_CASE("bytes of a quantised cache are those of its codes and scales") {
  const DecoderFixture run("text-31b", "reference", Dtype::kBf16);
  const auto bytes = [&](Dtype dtype) {
    const KvCacheBytes b = kv_cache_bytes(run.config.text, dtype, 640, 2, 64);
    return std::pair<uint64_t, uint64_t>(b.full, b.ring);
  };
  uint64_t heads[kLayerKinds] = {};
  for (const LayerConfig& layer : run.config.text.layers) {
    if (layer.owns_kv) heads[static_cast<size_t>(layer.kind)] += layer.num_kv_heads;
  }
  const auto bf16 = bytes(Dtype::kBf16);
  CHECK(bytes(Dtype::kF8E4M3) == std::pair(bf16.first / 2, bf16.second / 2));
  const auto int8 = bytes(Dtype::kI8);
  CHECK(int8.first == bf16.first / 2 + heads[1] * 640 * 2 * 4);
  CHECK(int8.second > bf16.second / 2);
}

namespace {

void write_tensors(const std::filesystem::path& path,
                   const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
  std::vector<TensorDeclaration> declared;
  for (const auto& [name, values] : tensors) {
    declared.push_back({name, Dtype::kF32, {static_cast<int64_t>(values.size()), 1, 1}});
  }
  SafetensorsWriter writer(path, declared);
  for (const auto& [name, values] : tensors) writer.write(name, std::as_bytes(std::span(values)));
  writer.commit();
}

// text-e with these tensors beside its own.
void write_checkpoint(const std::filesystem::path& directory,
                      const std::vector<std::pair<std::string, std::vector<float>>>& tensors) {
  const std::filesystem::path source = golden_dir("text-e");
  std::filesystem::copy_file(source / "config.json", directory / "config.json");
  std::filesystem::copy_file(source / "model.safetensors", directory / "weights.safetensors");
  write_tensors(directory / "scales.safetensors", tensors);
  Json map = Json::object();
  for (const std::string& name : Checkpoint::open(source).names())
    map[name] = "weights.safetensors";
  for (const auto& [name, values] : tensors) map[name] = "scales.safetensors";
  std::ofstream(directory / "model.safetensors.index.json")
      << Json{{"metadata", Json::object()}, {"weight_map", map}};
}

}  // namespace

TEST_CASE("static scales of keys and values come from the checkpoint, under any of their names") {
  const ScratchDir scratch;
  const std::string prefix = "model.language_model.layers.";
  write_checkpoint(scratch.path(), {{prefix + "0.self_attn.k_scale", {0.5f}},
                                    {prefix + "0.self_attn.v_scale", {0.25f, 0.25f}},
                                    {prefix + "1.self_attn.kv_scale", {3.0f}},
                                    {prefix + "2.self_attn.k_proj.k_scale", {2.0f}},
                                    {prefix + "2.self_attn.q_scale", {7.0f}}});
  DecoderFixture run(scratch.path(), "cpu", Dtype::kF8E4M3);
  const std::vector<KvScales> scales = load_kv_scales(run.checkpoint, run.config.text);
  REQUIRE(scales.size() == run.config.text.layers.size());
  CHECK(scales[0].key == 0.5f);
  CHECK(scales[0].value == 0.25f);
  CHECK(scales[1].key == 3.0f);
  CHECK(scales[1].value == 3.0f);
  CHECK(scales[2].key == 2.0f);
  CHECK(scales[2].value == 1.0f);
  CHECK(scales[3].key == 1.0f);

  const SafetensorsFile golden(golden_dir("text-e") / "goldens.safetensors");
  const std::vector<float> with_ones = run.logits(ids_of(golden, "input_ids"), 24);
  run.kv_options.scales = scales;
  run.reset();
  CHECK(run.cache->layers()[1].key_scale == 3.0f);
  const std::vector<float> with_scales = run.logits(ids_of(golden, "input_ids"), 24);
  CHECK(with_scales != with_ones);
  CHECK(difference(with_scales.data(), with_ones.data(), with_ones.size()).rms <
        0.1 * abs_max(with_ones));
}

TEST_CASE("a scale that is no positive number, or one for each head, is refused by name") {
  for (const std::vector<float>& bad :
       std::vector<std::vector<float>>{{0.0f}, {-1.0f}, {NAN}, {INFINITY}, {1.0f, 2.0f}, {}}) {
    const ScratchDir scratch;
    const std::string name = "model.language_model.layers.1.self_attn.v_scale";
    write_checkpoint(scratch.path(), {{name, bad}});
    const DecoderFixture run(scratch.path(), "cpu", Dtype::kBf16);  // which does not need them
    try {
      load_kv_scales(run.checkpoint, run.config.text);
      FAIL("not refused");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(name) != std::string::npos);
      CHECK(error.exit_code() == 3);
    }
  }
}

}  // namespace gemma4
