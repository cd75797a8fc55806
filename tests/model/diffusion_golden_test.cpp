// DiffusionGemma against the official implementation's own numbers, on every backend: the encoder's
// layers and cache, two denoising steps, and whole generations replayed with the golden's draws.
#include <doctest/doctest.h>

#include <cmath>

#include "lib/io/json.h"
#include "lib/runtime/canvas.h"
#include "tests/support/canvas_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

std::string layer_name(int32_t layer) { return "layer0" + std::to_string(layer); }

void check_near(const std::string& name, const std::vector<float>& got,
                const std::vector<float>& expected) {
  REQUIRE_MESSAGE(got.size() == expected.size(), name);
  const Difference d = difference(got.data(), expected.data(), got.size());
  CHECK_MESSAGE(d.max <= 1e-4 + 1e-4 * abs_max(expected), name << ": max " << d.max);
}

void check_logits(const std::string& name, const std::vector<float>& got,
                  const std::vector<float>& expected) {
  REQUIRE_MESSAGE(got.size() == expected.size(), name);
  const Difference d = difference(got.data(), expected.data(), got.size());
  CHECK_MESSAGE(d.max <= 1e-3, name << ": max " << d.max);
  CHECK_MESSAGE(d.rms <= 1e-4, name << ": rms " << d.rms);
}

// Compares every inner tensor that the golden has under the names that `name_of` gives.
template <typename NameOf>
void watch(CanvasFixture& run, const SafetensorsFile& golden, int& compared, NameOf name_of) {
  run.decoder->set_probe(
      [&run, &golden, &compared, name_of](std::string_view what, int32_t layer, Matrix value) {
        const std::string name = name_of(what, layer);
        if (!golden.find(name)) return;
        std::vector<float> got(static_cast<size_t>(value.rows * value.cols));
        run.ops->copy_to_host(got.data(), value.data, got.size() * sizeof(float));
        check_near(name, got, floats_of(golden, name));
        ++compared;
      });
}

std::string step_tensor(const std::string& prefix, std::string_view what, int32_t layer) {
  if (what == "inputs") return prefix + "decoder.inputs";
  if (what == "out") return prefix + "decoder." + layer_name(layer) + ".out";
  return prefix + (layer < 0 ? "" : layer_name(layer) + ".") + std::string(what);
}

std::vector<int32_t> row_of(const std::vector<int32_t>& all, size_t row, size_t width) {
  const auto begin = all.begin() + static_cast<ptrdiff_t>(row * width);
  return {begin, begin + static_cast<ptrdiff_t>(width)};
}

std::vector<bool> bools_of(const SafetensorsFile& file, const std::string& name) {
  const std::optional<Tensor> tensor = file.find(name);
  REQUIRE_MESSAGE(tensor.has_value(), name);
  REQUIRE(tensor->dtype == Dtype::kBool);
  const auto* bytes = static_cast<const uint8_t*>(tensor->data);
  std::vector<bool> out;
  for (int64_t i = 0; i < tensor->elements(); ++i) out.push_back(bytes[i] != 0);
  return out;
}

DiffusionConfig settings_of(DiffusionConfig config, const Json& meta) {
  config.max_denoising_steps = meta["max_denoising_steps"];
  config.entropy_bound = meta["entropy_bound"];
  config.t_min = meta["t_min"];
  config.t_max = meta["t_max"];
  config.stability_threshold = meta["stability_threshold"];
  config.confidence_threshold = meta["confidence_threshold"];
  return config;
}

}  // namespace

TEST_CASE("a diffusion model's encoder stores what the official one stores") {
  const SafetensorsFile golden(golden_dir("diffusion") / "goldens.safetensors");
  const std::vector<int32_t> prompt = ids_of(golden, "input_ids");
  const auto length = static_cast<int32_t>(prompt.size());
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    CanvasFixture run(device, Dtype::kF32);
    int compared = 0;
    watch(run, golden, compared, [](std::string_view what, int32_t layer) {
      return "encoder." + (layer < 0 ? "" : layer_name(layer) + ".") + std::string(what);
    });
    run.encode(prompt, 0);
    CHECK(compared == run.config.text.num_layers());
    const int32_t window = run.config.text.sliding_window;
    for (const bool values : {false, true}) {
      const std::string what = values ? "v" : "k";
      check_near("sliding " + what, run.cached(0, values, length - window + 1, length),
                 floats_of(golden, "cache.layer00." + what));
      check_near("full " + what, run.cached(2, values, 0, length),
                 floats_of(golden, "cache.layer02." + what));
    }
  }
}

TEST_CASE("two denoising steps compute what the official implementation computes") {
  const SafetensorsFile golden(golden_dir("diffusion") / "goldens.safetensors");
  const std::vector<int32_t> prompt = ids_of(golden, "input_ids");
  const auto length = static_cast<int32_t>(prompt.size());
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    CanvasFixture run(device, Dtype::kF32);
    run.encode(prompt, 0);
    int compared = 0;
    watch(run, golden, compared,
          [](std::string_view what, int32_t layer) { return step_tensor("step0.", what, layer); });
    const std::vector<float> first = run.denoise(ids_of(golden, "step.canvas"), length);
    check_logits("step0.logits", first, floats_of(golden, "step0.logits"));
    check_near("step0.decoder.norm", run.final_norm, floats_of(golden, "step0.decoder.norm"));
    // The input, six layers, and the router's weights of one of them.
    CHECK(compared == run.config.text.num_layers() + 2);
    std::vector<float> mixture;
    const std::vector<CanvasChoice> choices = run.judge(first, 1.0f, mixture);
    std::vector<int32_t> best;
    for (const CanvasChoice& choice : choices) best.push_back(choice.best);
    CHECK(best == ids_of(golden, "step1.canvas"));
    watch(run, golden, compared,
          [](std::string_view what, int32_t layer) { return step_tensor("step1.", what, layer); });
    check_logits("step1.logits", run.denoise(best, length, mixture),
                 floats_of(golden, "step1.logits"));
    CHECK(compared == run.config.text.num_layers() + 3);
  }
}

// Activations that are rounded too may choose other experts, which moves whole rows: they are
// judged by the tokens, and by the rms that two times bf16 allows the other folder with experts.
TEST_CASE("with bf16 keys and values the first step stays close and chooses the same tokens") {
  const Json moe = read_json_file(golden_dir("text-moe") / "meta.json", ErrorKind::kInternal);
  const double rounded_rms = 2 * moe["bf16_vs_f32"]["rms"].get<double>();
  const SafetensorsFile golden(golden_dir("diffusion") / "goldens.safetensors");
  const std::vector<int32_t> prompt = ids_of(golden, "input_ids");
  const std::vector<float> expected = floats_of(golden, "step0.logits");
  for (const std::string& device : built_backends()) {
    for (const bool exact : {true, false}) {
      CAPTURE(device);
      CAPTURE(exact);
      CanvasFixture run(device, Dtype::kBf16, 64, 1, exact);
      run.encode(prompt, 0);
      const std::vector<float> logits =
          run.denoise(ids_of(golden, "step.canvas"), static_cast<int32_t>(prompt.size()));
      const Difference d = difference(logits.data(), expected.data(), expected.size());
      CHECK(d.rms > 0.0);
      CHECK(d.rms < (exact ? 0.1 : rounded_rms));
      std::vector<float> mixture;
      const std::vector<CanvasChoice> choices = run.judge(logits, 1.0f, mixture);
      std::vector<int32_t> best;
      for (const CanvasChoice& choice : choices) best.push_back(choice.best);
      CHECK(best == ids_of(golden, "step1.canvas"));
    }
  }
}

// The golden's draws decide what the sampler does, and its canvases are what the model is given.
// Only self-conditioning is our own, step after step: it multiplies differences of the last bit by
// three to eight a step (the reference and the CPU backend part from each other as fast as each of
// them from the golden), so the model's numbers are compared for the first steps of a block only.
TEST_CASE("generations of several blocks take the official course, draw for draw") {
  constexpr int32_t kComparedSteps = 6;
  const SafetensorsFile golden(golden_dir("diffusion") / "goldens.safetensors");
  const Json meta =
      read_json_file(golden_dir("diffusion") / "meta.json", ErrorKind::kInternal)["generations"];
  const std::vector<int32_t> prompt = ids_of(golden, "input_ids");
  REQUIRE(meta.size() == 3);
  for (const std::string& device : built_backends()) {
    for (size_t g = 0; g < meta.size(); ++g) {
      CAPTURE(device);
      CAPTURE(g);
      const std::string prefix = "gen" + std::to_string(g) + ".";
      CanvasFixture run(device, Dtype::kF32);
      const DiffusionConfig settings = settings_of(*run.config.diffusion, meta[g]);
      const auto width = static_cast<size_t>(settings.canvas_length);
      const std::vector<int32_t> current = ids_of(golden, prefix + "current");
      const std::vector<int32_t> draws = ids_of(golden, prefix + "denoiser");
      const std::vector<int32_t> noise = ids_of(golden, prefix + "random");
      const std::vector<int32_t> next = ids_of(golden, prefix + "next");
      const std::vector<int32_t> best = ids_of(golden, prefix + "argmax");
      const std::vector<int32_t> left = ids_of(golden, prefix + "steps_remaining");
      const std::vector<float> entropy = floats_of(golden, prefix + "entropy");
      const std::vector<bool> accepted = bools_of(golden, prefix + "accepted_mask");

      std::vector<int32_t> sequence = prompt;
      run.encode(prompt, 0);
      for (size_t t = 0; t < left.size();) {  // a block
        const auto position = static_cast<int32_t>(sequence.size());
        Canvas canvas(settings, row_of(current, t, width));
        std::vector<float> mixture;
        double tolerance = 1e-4;
        for (; !canvas.settled(); ++t, tolerance *= 4) {
          CAPTURE(t);
          REQUIRE(t < left.size());
          CHECK(left[t] == settings.max_denoising_steps - canvas.steps());
          const std::vector<int32_t> tokens(canvas.tokens().begin(), canvas.tokens().end());
          REQUIRE(tokens == row_of(current, t, width));
          std::vector<CanvasChoice> choices(width);
          if (canvas.steps() < kComparedSteps) {
            const float temperature = canvas.temperature();
            std::vector<float> logits = run.denoise(tokens, position, mixture);
            choices = run.judge(logits, temperature, mixture);
            for (size_t i = 0; i < width; ++i) {
              CHECK(std::abs(choices[i].entropy - entropy[t * width + i]) <= tolerance);
              CHECK(choices[i].best == best[t * width + i]);
            }
            if (t + 1 == left.size()) {
              for (float& logit : logits) logit /= temperature;
              const std::vector<float> expected = floats_of(golden, prefix + "last_logits");
              CHECK(difference(logits.data(), expected.data(), logits.size()).rms <= tolerance);
            }
          }
          for (size_t i = 0; i < width; ++i) {
            choices[i] = {best[t * width + i], draws[t * width + i], entropy[t * width + i]};
          }
          canvas.advance(choices, row_of(noise, t, width));
          CHECK(std::vector<int32_t>(canvas.tokens().begin(), canvas.tokens().end()) ==
                row_of(next, t, width));
          CHECK(canvas.accepted() ==
                std::vector<bool>(accepted.begin() + static_cast<ptrdiff_t>(t * width),
                                  accepted.begin() + static_cast<ptrdiff_t>((t + 1) * width)));
        }
        const std::vector<int32_t> block(canvas.best().begin(), canvas.best().end());
        run.encode(block, position);
        sequence.insert(sequence.end(), block.begin(), block.end());
      }
      CHECK(sequence == ids_of(golden, prefix + "sequence"));
    }
  }
}

// B12, cache tests (a) and (e): a canvas reads the cache of a long, wrapped prompt, and leaves it
// as it was.
TEST_CASE("denoising leaves what was encoded as it was, and two sequences do not see each other") {
  for (const std::string& device : built_backends()) {
    CAPTURE(device);
    CanvasFixture run(device, Dtype::kF32, 160, 2);
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 300; ++i) ids.push_back(110 + (i * 37 + i * i) % 95);
    const auto half = static_cast<ptrdiff_t>(150);
    for (const int32_t sequence : {0, 1}) {
      run.encode({ids.begin(), ids.begin() + half}, 0, sequence);
      run.encode({ids.begin() + half, ids.end()}, 150, sequence);
    }
    run.encode({5, 6, 7}, 300, 1);
    const int32_t window = run.config.text.sliding_window;
    const auto snapshot = [&] {
      std::vector<float> all;
      for (int32_t layer = 0; layer < run.config.text.num_layers(); ++layer) {
        for (const bool values : {false, true}) {
          const std::vector<float> one = run.cached(layer, values, 300 - window + 1, 300);
          all.insert(all.end(), one.begin(), one.end());
        }
      }
      return all;
    };
    const std::vector<float> before = snapshot();
    const std::vector<int32_t> canvas = {9, 200, 17, 3, 401, 111, 150, 88};
    const std::vector<float> logits = run.denoise(canvas, 300);
    CHECK(snapshot() == before);
    run.denoise({1, 2, 3, 4}, 303, {}, 1);
    CHECK(run.denoise(canvas, 300) == logits);
  }
}

}  // namespace gemma4
