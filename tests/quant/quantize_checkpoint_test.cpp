#include "lib/quant/quantize_checkpoint.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <map>

#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/quant/text_modules.h"
#include "tests/quant/quant_vectors.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

/// An empty directory that goes with the test.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (fs::temp_directory_path() / "gemma4-quant-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TemporaryDirectory() { fs::remove_all(path_); }
  fs::path operator/(const std::string& name) const { return path_ / name; }
  size_t entries() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(path_), {}));
  }

 private:
  fs::path path_;
};

std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename().string()] = read_file(entry.path(), ErrorKind::kModel);
  }
  return files;
}

QuantizeReport convert(const std::string& golden, const fs::path& destination,
                       const QuantizeOptions& options) {
  return quantize_checkpoint(golden_dir(golden), destination, options, {});
}

/// The kind and message of the error that converting throws.
struct Refusal {
  ErrorKind kind = ErrorKind::kInternal;
  std::string message;
  bool mentions(const std::string& word) const { return message.find(word) != std::string::npos; }
};

Refusal refusal(const fs::path& source, const fs::path& destination,
                const QuantizeOptions& options) {
  try {
    quantize_checkpoint(source, destination, options, {});
  } catch (const Error& error) {
    return {error.kind(), error.what()};
  }
  return {};
}

WeightReader reader_of(const Checkpoint& checkpoint) {
  return WeightReader([&](std::string_view name) { return checkpoint.find(name); },
                      QuantizationConfig::parse(checkpoint.config()));
}

TEST_CASE("a written checkpoint reads back to the values of the quantiser") {
  for (const std::string golden : {"text-e", "text-31b"}) {
    for (const QuantizeScheme scheme : {QuantizeScheme::kInt8, QuantizeScheme::kW4A16}) {
      CAPTURE(golden);
      TemporaryDirectory directory;
      const QuantizeReport report = convert(golden, directory / "out", {.scheme = scheme});
      const Checkpoint source = Checkpoint::open(golden_dir(golden));
      const Checkpoint written = Checkpoint::open(directory / "out");
      CHECK(report.output_bytes == written.total_bytes());
      CHECK(report.source_bytes == source.total_bytes());
      WeightReader reader = reader_of(written);
      const QuantizeFormat format =
          scheme == QuantizeScheme::kInt8 ? kInt8PerChannel : kInt4Group32;
      size_t linears = 0;
      for (const std::string& name : source.names()) {
        const Tensor& tensor = *source.find(name);
        if (!text_module_of(name)) {
          const Tensor* copy = written.find(name);
          REQUIRE(copy != nullptr);
          CHECK(copy->shape == tensor.shape);
          CHECK(std::memcmp(copy->data, tensor.data, tensor.bytes()) == 0);
          continue;
        }
        ++linears;
        const std::string module = name.substr(0, name.size() - std::string(".weight").size());
        const StoredMatrix stored = reader.read(module, tensor.shape[0], tensor.shape[1]);
        REQUIRE(stored.quantized);
        CHECK(stored.quantized->bits == format.bits);
        CHECK(dequantized(*stored.quantized) ==
              dequantized(*quantize(tensor, format, name).matrix));
      }
      CHECK(report.modules.size() == linears);
      CHECK(files_of(directory / "out")["generation_config.json"] ==
            files_of(golden_dir(golden))["generation_config.json"]);
    }
  }
}

TEST_CASE("experts are written one by one, gate and up apart") {
  TemporaryDirectory directory;
  convert("text-moe", directory / "out", {.scheme = QuantizeScheme::kInt8});
  const Checkpoint source = Checkpoint::open(golden_dir("text-moe"));
  const Checkpoint written = Checkpoint::open(directory / "out");
  WeightReader reader = reader_of(written);
  const std::string experts = "model.language_model.layers.1.experts.";
  const std::vector<float> gate_up = floats_of(*source.find(experts + "gate_up_proj"));
  const std::vector<float> down = floats_of(*source.find(experts + "down_proj"));
  const auto close = [](const QuantizedMatrix& matrix, const float* expected) {
    const std::vector<float> values = dequantized(matrix);
    for (size_t i = 0; i < values.size(); ++i) {
      const auto row = static_cast<int64_t>(i) / matrix.cols;
      // The rule divides in bf16 and saturates at 127 of 127.5: one step in all.
      if (std::fabs(values[i] - expected[i]) > std::fabs(scale_at(matrix, row, 0))) return false;
    }
    return true;
  };
  for (int64_t e = 0; e < 8; ++e) {
    const std::string expert = experts + std::to_string(e);
    CHECK(close(*reader.read(expert + ".gate_proj", 48, 64).quantized,
                &gate_up[static_cast<size_t>(e * 96 * 64)]));
    CHECK(close(*reader.read(expert + ".up_proj", 48, 64).quantized,
                &gate_up[static_cast<size_t>((e * 96 + 48) * 64)]));
    CHECK(close(*reader.read(expert + ".down_proj", 64, 48).quantized,
                &down[static_cast<size_t>(e * 64 * 48)]));
  }
  CHECK(written.find(experts + "gate_up_proj") == nullptr);
  CHECK(written.find("model.language_model.layers.1.router.proj.weight") != nullptr);
}

TEST_CASE("narrow experts are refused at 4 bits, with the reason, unless forced") {
  TemporaryDirectory directory;
  QuantizeOptions options{.scheme = QuantizeScheme::kW4A16, .group_size = 16};
  const Refusal refused = refusal(golden_dir("text-moe"), directory / "out", options);
  CHECK(refused.kind == ErrorKind::kModel);
  CHECK(refused.mentions("48 wide"));
  CHECK(directory.entries() == 0);
  options.force = true;
  convert("text-moe", directory / "out", options);
  CHECK(Checkpoint::open(directory / "out")
            .find("model.language_model.layers.0.experts.7.down_proj.weight_packed") != nullptr);
  options.group_size = 32;
  CHECK(refusal(golden_dir("text-moe"), directory / "other", options).mentions("do not divide 48"));
}

TEST_CASE("the written config names groups, formats and what is left out") {
  TemporaryDirectory directory;
  const std::string kept = "model.language_model.layers.2.mlp.down_proj";
  convert("text-e", directory / "out", {.keep = {kept, "*.layers.1.self_attn.*"}});
  const Checkpoint source = Checkpoint::open(golden_dir("text-e"));
  const Checkpoint written = Checkpoint::open(directory / "out");
  Json config = written.config();
  const auto parsed = QuantizationConfig::parse(config);
  CHECK_FALSE(parsed.scheme_for(kept));
  CHECK(written.find(kept + ".weight") != nullptr);
  CHECK(written.find(kept + ".weight_packed") == nullptr);
  // Under vLLM's names too.
  CHECK_FALSE(parsed.scheme_for("language_model.model.layers.2.mlp.down_proj"));
  CHECK(parsed.scheme_for("language_model.model.layers.12.mlp.down_proj")->bits == 4);
  CHECK(parsed.scheme_for("language_model.model.layers.0.self_attn.qkv_proj")->group_size == 32);
  CHECK_FALSE(parsed.scheme_for("language_model.model.layers.1.self_attn.o_proj"));
  CHECK_FALSE(parsed.scheme_for("lm_head"));
  CHECK_FALSE(parsed.scheme_for("model.vision_tower.encoder.layers.0.mlp.up_proj"));
  const Json& quantization = config["quantization_config"];
  CHECK(quantization["quant_method"] == "compressed-tensors");
  CHECK(quantization["format"] == "pack-quantized");
  CHECK(quantization["config_groups"]["group_0"]["weights"]["strategy"] == "group");
  config.erase("quantization_config");
  CHECK(config.dump() == source.config().dump());  // nothing else changed, not even the order
}

TEST_CASE("a head quantised on request is untied and leaves the embedding as it is") {
  TemporaryDirectory directory;
  convert("text-e", directory / "out",
          {.scheme = QuantizeScheme::kW4A16, .lm_head = QuantizeScheme::kInt8});
  const Checkpoint written = Checkpoint::open(directory / "out");
  CHECK(written.config()["tie_word_embeddings"] == false);
  CHECK(written.config()["text_config"]["tie_word_embeddings"] == false);
  CHECK(written.find("model.language_model.embed_tokens.weight") != nullptr);
  WeightReader reader = reader_of(written);
  CHECK(reader.read("lm_head", 512, 64).quantized->bits == 8);
  CHECK(reader.read("model.language_model.layers.0.mlp.up_proj", 128, 64).quantized->bits == 4);
}

TEST_CASE("output is cut into shards with an index, and the same for any number of threads") {
  TemporaryDirectory directory;
  const int threads = num_threads();
  QuantizeOptions options{.shard_bytes = 100'000};
  set_num_threads(1);
  convert("text-e", directory / "one", options);
  set_num_threads(16);
  convert("text-e", directory / "many", options);
  set_num_threads(threads);
  const auto one = files_of(directory / "one");
  CHECK(one == files_of(directory / "many"));
  CHECK(one.contains("model.safetensors.index.json"));
  CHECK(one.size() > 4);
  options.shard_bytes = 5'000'000'000;
  convert("text-e", directory / "single", options);
  const Checkpoint sharded = Checkpoint::open(directory / "one");
  const Checkpoint single = Checkpoint::open(directory / "single");
  CHECK(sharded.names() == single.names());
  for (const std::string& name : single.names()) {
    const Tensor& tensor = *single.find(name);
    CHECK(std::memcmp(sharded.find(name)->data, tensor.data, tensor.bytes()) == 0);
  }
}

TEST_CASE("the plan tells sizes and touches nothing") {
  const Checkpoint source = Checkpoint::open(golden_dir("text-31b"));
  const QuantizePlan plan = plan_quantization(source, {.scheme = QuantizeScheme::kInt8});
  CHECK(plan.source_bytes == source.total_bytes());
  CHECK(plan.output_bytes < plan.source_bytes);
  CHECK(plan.quantized_matrices == 12 * 7 - 2);  // two layers without v_proj
  TemporaryDirectory directory;
  CHECK(convert("text-31b", directory / "out", {.scheme = QuantizeScheme::kInt8}).output_bytes ==
        plan.output_bytes);
}

TEST_CASE("source and output in one another, and outputs that exist, are refused") {
  TemporaryDirectory directory;
  const fs::path source = directory / "source";
  fs::copy(golden_dir("text-31b"), source);
  const auto before = files_of(source);
  for (const fs::path& bad :
       {source, source / "", source / "../source", source / "inside", source.parent_path()}) {
    QuantizeOptions options{.force = true};
    CAPTURE(bad.string());
    CHECK(refusal(source, bad, options).kind == ErrorKind::kUsage);
  }
  fs::create_directory_symlink(source, directory / "link");
  CHECK(refusal(source, directory / "link", {.force = true}).kind == ErrorKind::kUsage);

  quantize_checkpoint(source, directory / "out", {}, {});
  CHECK(refusal(source, directory / "out", {}).mentions("exists"));
  quantize_checkpoint(source, directory / "out", {.scheme = QuantizeScheme::kInt8, .force = true},
                      {});
  CHECK(Checkpoint::open(directory / "out")
            .config()["quantization_config"]["config_groups"]["group_0"]["weights"]["num_bits"] ==
        8);

  fs::create_directory(directory / "documents");
  std::ofstream(directory / "documents/thesis.txt") << "years of work";
  CHECK(refusal(source, directory / "documents", {.force = true}).kind == ErrorKind::kUsage);
  CHECK(fs::exists(directory / "documents/thesis.txt"));
  CHECK(files_of(source) == before);
  CHECK(refusal(directory / "out", directory / "again", {}).mentions("already quantised"));
  CHECK(directory.entries() == 4);  // source, link, out, documents: nothing half-written
}

TEST_CASE("patterns to keep must fit: a name that exists, and whole fused sets") {
  TemporaryDirectory directory;
  const auto with_keep = [&](const std::string& pattern) {
    return refusal(golden_dir("text-e"), directory / "out", {.keep = {pattern}});
  };
  CHECK(with_keep("*.no_such_proj").kind == ErrorKind::kUsage);
  CHECK(with_keep("*.layers.0.self_attn.q_proj").mentions("{q,k,v}_proj"));
  CHECK(with_keep("*.layers.3.mlp.up_proj").mentions("{gate,up}_proj"));
  CHECK(with_keep("re:(").kind == ErrorKind::kUsage);
  CHECK(with_keep("*").mentions("nothing to quantise"));
}

TEST_CASE("options that cannot be are usage errors") {
  TemporaryDirectory directory;
  const auto refused = [&](const QuantizeOptions& options) {
    return refusal(golden_dir("text-e"), directory / "out", options).kind == ErrorKind::kUsage;
  };
  CHECK(refused({.group_size = 0}));
  CHECK(refused({.group_size = 12}));
  CHECK(refused({.scheme = QuantizeScheme::kInt8, .rule = RoundingRule::kGrid}));
  CHECK(refused({.group_size = 64, .rule = RoundingRule::kGrid}));
}

TEST_CASE("a full disk leaves nothing behind") {
  TemporaryDirectory directory;
  rlimit old_limit;
  REQUIRE(getrlimit(RLIMIT_FSIZE, &old_limit) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{50'000, old_limit.rlim_max};  // files end there, as on a full disk
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Refusal refused = refusal(golden_dir("text-e"), directory / "out", {});
  setrlimit(RLIMIT_FSIZE, &old_limit);
  std::signal(SIGXFSZ, old_handler);
  CHECK(refused.kind == ErrorKind::kResource);
  CHECK(directory.entries() == 0);
}

TEST_CASE("an interruption removes what was written") {
  TemporaryDirectory directory;
  struct Interrupted {};
  uint64_t last = 0;
  const auto interrupt = [&](const QuantizeProgress& progress) {
    CHECK(progress.source_bytes_done > last);
    last = progress.source_bytes_done;
    if (last > progress.source_bytes / 2) throw Interrupted();
  };
  CHECK_THROWS_AS(quantize_checkpoint(golden_dir("text-e"), directory / "out", {}, interrupt),
                  Interrupted);
  CHECK(directory.entries() == 0);
}

TEST_CASE("a kill leaves nothing under the final name, and the next run says what is in its way") {
  TemporaryDirectory directory;
  const int threads = num_threads();
  set_num_threads(1);  // a fork takes no other thread along
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const auto die = [](const QuantizeProgress& progress) {
      if (progress.source_bytes_done > progress.source_bytes / 2) std::raise(SIGKILL);
    };
    quantize_checkpoint(golden_dir("text-e"), directory / "out", {}, die);
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  set_num_threads(threads);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(fs::exists(directory / "out"));
  CHECK(refusal(golden_dir("text-e"), directory / "out", {}).mentions("out.partial"));
  convert("text-e", directory / "out", {.force = true});
  CHECK(directory.entries() == 1);
}

TEST_CASE("text linears are told from everything else by name") {
  CHECK(text_module_of("model.language_model.layers.12.mlp.up_proj.weight")->layer == 12);
  CHECK(text_module_of("model.layers.0.self_attn.q_proj.weight")->part == "self_attn.q_proj");
  CHECK(text_module_of("model.decoder.layers.0.experts.down_proj")->is_expert_stack());
  CHECK(text_module_of("model.language_model.per_layer_model_projection.weight"));
  for (const char* name :
       {"model.language_model.embed_tokens.weight", "lm_head.weight",
        "model.vision_tower.encoder.layers.0.mlp.up_proj.weight",
        "model.audio_tower.layers.0.self_attn.q_proj.weight",
        "model.language_model.layers.0.router.proj.weight",
        "model.language_model.layers.0.input_layernorm.weight",
        "model.language_model.layers.x.mlp.up_proj.weight",
        "model.language_model.layers.-1.mlp.up_proj.weight",
        "model.language_model.layers.0.mlp.up_proj.bias", "layers.", "model.layers.0", ""}) {
    CAPTURE(name);
    CHECK_FALSE(text_module_of(name));
  }
}

}  // namespace
}  // namespace gemma4
