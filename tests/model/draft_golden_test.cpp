// The assistants against the official implementation's first drafting round, on every backend.
// Tolerances: ../shared/goldens/README.md.
#include <doctest/doctest.h>

#include <cstring>

#include "lib/base/error.h"
#include "lib/model/draft_config.h"
#include "lib/runtime/model_draft.h"
#include "tests/support/decoder_fixture.h"
#include "tests/support/tensor_compare.h"

namespace gemma4 {
namespace {

const std::vector<std::string> kPairs = {"mtp-e", "mtp-31b"};

// A target that has just read the golden prompt, and its assistant.
struct DraftFixture {
  DraftFixture(const std::string& pair, const std::string& device, Dtype kv_dtype,
               int32_t query_offset)
      : golden(golden_dir(pair) / "goldens.safetensors"),
        target(golden_dir(pair) / "target", device, kv_dtype),
        draft(golden_dir(pair) / "assistant", *target.ops, *target.decoder, *target.cache,
              query_offset, 2),
        prompt(ids_of(golden, "input_ids")) {
    const auto length = static_cast<int32_t>(prompt.size());
    target.cache->extend(0, length);
    const Segment segment{0, 0, prompt, {}};
    Step step = build_step(target.config.text, *target.cache, {&segment, 1});
    hidden =
        target.decoder->forward(step, std::vector<int32_t>{length - 1}, target.cache->layers());
    const Json meta = read_json_file(golden_dir(pair) / "meta.json", ErrorKind::kInternal);
    first = {meta["round0"]["first_target_token"].get<TokenId>()};
  }

  std::vector<TokenId> round(int64_t count) {
    DraftTask task;
    task.prompt = prompt;
    task.stored = static_cast<int64_t>(prompt.size());
    task.answer = first;
    task.hidden_row = 0;
    task.count = count;
    draft.draft({&task, 1}, hidden);
    return task.tokens;
  }

  SafetensorsFile golden;
  DecoderFixture target;
  ModelDraft draft;
  std::vector<int32_t> prompt;
  std::vector<TokenId> first;
  Matrix hidden;
};

std::vector<float> host_values(Ops& ops, Matrix value) {
  std::vector<float> out(static_cast<size_t>(value.rows * value.cols));
  ops.copy_to_host(out.data(), value.data, out.size() * sizeof(float));
  return out;
}

std::string golden_name(int step, std::string_view what, int32_t layer) {
  std::string name = "round0.step" + std::to_string(step) + ".";
  if (layer >= 0) name += "layer0" + std::to_string(layer) + ".";
  return name + std::string(what);
}

// The golden's logits of the tokens that our logits are of.
std::vector<float> of_clusters(const std::vector<float>& all, const std::vector<int32_t>& ordering,
                               const std::vector<int32_t>& clusters, size_t size) {
  std::vector<float> out;
  for (const int32_t cluster : clusters) {
    for (size_t i = 0; i < size; ++i) {
      out.push_back(all[static_cast<size_t>(ordering[static_cast<size_t>(cluster) * size + i])]);
    }
  }
  return out;
}

int exit_code_of_config(Json config, const char* key, const Json& value) {
  Json& part = config["text_config"].contains(key) && std::string(key) != "model_type"
                   ? config["text_config"]
                   : config;
  part[key] = value;
  const Json target =
      read_json_file(golden_dir("mtp-e") / "target/config.json", ErrorKind::kInternal);
  try {
    DraftConfig draft = parse_draft_config(config);
    bind_to_target(draft, parse_model_config(target, Json::object()).text);
  } catch (const Error& error) {
    CHECK_MESSAGE(std::string(error.what()).find(key) != std::string::npos,
                  std::string(error.what()));
    return error.exit_code();
  }
  return 0;
}

}  // namespace

TEST_CASE("an assistant computes what the official implementation computes") {
  for (const std::string& device : built_backends()) {
    for (const std::string& pair : kPairs) {
      CAPTURE(device);
      CAPTURE(pair);
      DraftFixture run(pair, device, Dtype::kF32, 0);
      const DraftConfig& config = run.draft.model().config();
      std::vector<int32_t> ordering;
      if (config.num_centroids > 0) {
        ordering = ids_of(SafetensorsFile(golden_dir(pair) / "assistant/model.safetensors"),
                          "masked_embedding.token_ordering");
      }
      const std::vector<float> start = floats_of(run.golden, "round0.target_last_hidden");
      const auto start_got = host_values(*run.target.ops, run.hidden);
      CHECK(difference(start_got.data(), start.data(), start.size()).max <= 1e-4);
      int step = -1;
      int compared = 0;
      run.draft.model().set_probe([&](std::string_view what, int32_t layer, Matrix value) {
        if (what == "inputs_embeds") ++step;
        const std::string name = golden_name(step, what, layer);
        std::vector<float> expected = floats_of(run.golden, name);
        const std::vector<float> got = host_values(*run.target.ops, value);
        const bool logits = what == "logits";
        if (logits && config.num_centroids > 0) {
          expected =
              of_clusters(expected, ordering, run.draft.model().last_clusters(),
                          static_cast<size_t>(config.text.vocab_size / config.num_centroids));
        }
        REQUIRE(got.size() == expected.size());
        const Difference d = difference(got.data(), expected.data(), got.size());
        CHECK_MESSAGE(d.max <= (logits ? 1e-3 : 1e-4 + 1e-4 * abs_max(expected)),
                      name << ": max " << d.max);
        if (logits) CHECK_MESSAGE(d.rms <= 1e-4, name << ": rms " << d.rms);
        ++compared;
      });
      CHECK(run.round(4) == ids_of(run.golden, "round0.draft_tokens"));
      CHECK(compared == 4 * (4 + config.text.num_layers() + (config.num_centroids > 0 ? 1 : 0)));
    }
  }
}

TEST_CASE("with keys and values in bf16 an assistant drafts the same tokens") {
  for (const std::string& device : built_backends()) {
    for (const std::string& pair : kPairs) {
      DraftFixture run(pair, device, Dtype::kBf16, 0);
      CHECK(run.round(4) == ids_of(run.golden, "round0.draft_tokens"));
    }
  }
}

TEST_CASE("an assistant drafts for several sequences at once what it drafts for each") {
  DraftFixture run("mtp-e", "cpu", Dtype::kF32, -1);
  const std::vector<TokenId> alone = run.round(3);
  std::vector<DraftTask> tasks(2);
  const std::vector<TokenId> other = {200};
  for (DraftTask& task : tasks) {
    task.prompt = run.prompt;
    task.stored = static_cast<int64_t>(run.prompt.size());
    task.hidden_row = 0;
  }
  tasks[0].answer = other;
  tasks[0].count = 1;
  tasks[1].answer = run.first;
  tasks[1].count = 3;
  run.draft.draft(tasks, run.hidden);
  CHECK(tasks[0].tokens.size() == 1);
  CHECK(tasks[1].tokens == alone);
}

TEST_CASE("an assistant that does not fit its model is refused by the value that differs") {
  const Json config =
      read_json_file(golden_dir("mtp-e") / "assistant/config.json", ErrorKind::kInternal);
  CHECK(exit_code_of_config(config, "vocab_size", 512) == 0);
  CHECK(exit_code_of_config(config, "vocab_size", 1024) == 3);
  CHECK(exit_code_of_config(config, "backbone_hidden_size", 80) == 3);
  CHECK(exit_code_of_config(config, "sliding_window", 16) == 3);
  CHECK(exit_code_of_config(config, "head_dim", 32) == 3);
  CHECK(exit_code_of_config(config, "num_key_value_heads", 2) == 3);
  CHECK(exit_code_of_config(config, "num_kv_shared_layers", 1) == 3);
  CHECK(exit_code_of_config(config, "num_centroids", 15) == 3);
  CHECK(exit_code_of_config(config, "centroid_intermediate_top_k", 17) == 3);
  CHECK(exit_code_of_config(config, "hidden_size_per_layer_input", 8) == 3);
  CHECK(exit_code_of_config(config, "use_double_wide_mlp", true) == 3);
  CHECK(exit_code_of_config(config, "model_type", "gemma4_text") == 3);
}

}  // namespace gemma4
