// The five text families against the official implementation's own numbers, on every backend.
// Tolerances: ../shared/goldens/README.md.
#include <doctest/doctest.h>

#include <cstring>
#include <map>

#include "lib/io/json.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

const std::vector<std::string> kFamilies = {"text-e", "text-e-f32", "text-e-causal", "text-31b",
                                            "text-moe"};

std::string layer_name(int32_t layer, const char* what) {
  return std::string("layer") + (layer < 10 ? "0" : "") + std::to_string(layer) + "." + what;
}

// Compares every inner tensor that the golden has, as the decoder shows it.
class Watcher {
 public:
  Watcher(DecoderFixture& run, const SafetensorsFile& golden, const std::string& prefix) {
    run.decoder->set_probe([&, prefix](std::string_view what, int32_t layer, Matrix value) {
      const std::string name =
          prefix + (layer < 0 ? std::string(what) : layer_name(layer, std::string(what).c_str()));
      if (what == "ple_out" || !golden.find(name)) return;  // the golden's is after its norm
      const std::vector<float> expected = floats_of(golden, name);
      REQUIRE_MESSAGE(static_cast<size_t>(value.rows * value.cols) == expected.size(), name);
      std::vector<float> got(expected.size());
      run.ops->copy_to_host(got.data(), value.data, got.size() * sizeof(float));
      const Difference d = difference(got.data(), expected.data(), got.size());
      CHECK_MESSAGE(d.max <= 1e-4 + 1e-4 * abs_max(expected), name << ": max " << d.max);
      ++compared;
    });
  }
  int compared = 0;
};

void check_logits(const std::string& name, const std::vector<float>& got,
                  const std::vector<float>& expected) {
  REQUIRE(got.size() == expected.size());
  const Difference d = difference(got.data(), expected.data(), got.size());
  CHECK_MESSAGE(d.max <= 1e-3, name << ": max " << d.max);
  CHECK_MESSAGE(d.rms <= 1e-4, name << ": rms " << d.rms);
}

int32_t argmax(const float* row, int32_t size) {
  return static_cast<int32_t>(std::max_element(row, row + size) - row);
}

}  // namespace

TEST_CASE("every text family computes what the official implementation computes") {
  for (const std::string& device : built_backends()) {
    for (const std::string& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family);
      DecoderFixture run(family, device, Dtype::kF32);
      const SafetensorsFile golden(golden_dir(family) / "goldens.safetensors");
      {
        Watcher watcher(run, golden, "");
        const std::vector<float> logits = run.logits(ids_of(golden, "input_ids"), 64);
        check_logits("logits", logits, floats_of(golden, "logits"));
        CHECK(watcher.compared == run.config.text.num_layers() + 1);
      }
      run.reset();
      Watcher watcher(run, golden, "short.");
      check_logits("short.logits", run.logits(ids_of(golden, "short.input_ids"), 64),
                   floats_of(golden, "short.logits"));
      CHECK(watcher.compared >= 3 * run.config.text.num_layers());
    }
  }
}

TEST_CASE("greedy continuations equal the official ones, token for token") {
  for (const std::string& device : built_backends()) {
    for (const std::string& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family);
      DecoderFixture run(family, device, Dtype::kF32);
      const SafetensorsFile golden(golden_dir(family) / "goldens.safetensors");
      const std::vector<int32_t> expected = ids_of(golden, "greedy_tokens");
      const std::vector<float> greedy_logits = floats_of(golden, "greedy_logits");
      const std::vector<int32_t> prompt = ids_of(golden, "input_ids");
      const int32_t vocab = run.config.text.vocab_size;
      std::vector<float> logits = run.last_logits(prompt, 64);
      auto position = static_cast<int32_t>(prompt.size());
      for (size_t i = 0; i < expected.size(); ++i) {
        const Difference d = difference(logits.data(), greedy_logits.data() + i * vocab, vocab);
        CHECK(d.max <= 1e-3);
        const int32_t token = argmax(logits.data(), vocab);
        REQUIRE(token == expected[i]);
        logits = run.logits({token}, 1, position++);
      }
    }
  }
}

TEST_CASE("the plain defaults stay within the bf16 row") {
  for (const std::string& device : built_backends()) {
    for (const std::string& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family);
      DecoderFixture run(family, device, Dtype::kBf16);
      const SafetensorsFile golden(golden_dir(family) / "goldens.safetensors");
      const Json meta = read_json_file(golden_dir(family) / "meta.json", ErrorKind::kInternal);
      const std::vector<float> expected = floats_of(golden, "logits");
      const std::vector<float> logits = run.logits(ids_of(golden, "input_ids"), 64);
      const Difference d = difference(logits.data(), expected.data(), expected.size());
      CHECK(d.rms <= 2 * meta["bf16_vs_f32"]["rms"].get<double>());
      CHECK(d.max <= 3 * meta["bf16_vs_f32"]["max_abs"].get<double>());
      CHECK(d.max > 0.0);
    }
  }
}

TEST_CASE("chunks of 1, 7, 64 and the whole prompt give the same logits") {
  for (const std::string& device : built_backends()) {
    for (const std::string& family : kFamilies) {
      CAPTURE(device);
      CAPTURE(family);
      DecoderFixture run(family, device, Dtype::kF32, 128);
      // Far past the window: the prompt and its continuation, twice over.
      const SafetensorsFile golden(golden_dir(family) / "goldens.safetensors");
      std::vector<int32_t> ids = ids_of(golden, "input_ids");
      const std::vector<int32_t> more = ids_of(golden, "greedy_tokens");
      ids.insert(ids.end(), more.begin(), more.end());
      ids.insert(ids.end(), ids.begin() + 1, ids.begin() + 50);
      const std::vector<float> whole = run.logits(ids, 128);
      for (const int64_t chunk : {1, 7, 64}) {
        CAPTURE(chunk);
        run.reset();
        const std::vector<float> pieces = run.logits(ids, chunk);
        CHECK(difference(pieces.data(), whole.data(), whole.size()).rms <= 1e-4);
      }
      // A prompt whose logits nobody wants but the last one's stops early, and gives the same.
      for (const int64_t chunk : {5, 128}) {
        run.reset();
        const std::vector<float> last = run.last_logits(ids, chunk);
        const float* expected = whole.data() + whole.size() - last.size();
        CHECK(difference(last.data(), expected, last.size()).max <= 1e-4);
      }
    }
  }
}

}  // namespace gemma4
