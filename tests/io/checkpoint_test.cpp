#include "lib/io/checkpoint.h"

#include <doctest/doctest.h>

#include "tests/io/temp_dir.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

std::string index_of(std::initializer_list<std::pair<const char*, const char*>> map) {
  Json index = {{"metadata", {{"total_size", 2}}}, {"weight_map", Json::object()}};
  for (const auto& [tensor, file] : map) index["weight_map"][tensor] = file;
  return index.dump();
}

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kShard1 = "model-00001-of-00002.safetensors";
constexpr const char* kShard2 = "model-00002-of-00002.safetensors";

// A directory with a config and two shards that hold "a" and "b".
void put_shards(const TempDir& dir) {
  put(dir / "config.json", R"({"model_type":"gemma4"})");
  put(dir / kShard1, tiny_safetensors({"a"}));
  put(dir / kShard2, tiny_safetensors({"b"}));
}

std::string refusal(const fs::path& directory) {
  ErrorKind kind{};
  const std::string message = error_of([&] { Checkpoint::open(directory); }, &kind);
  CHECK(kind == ErrorKind::kModel);
  return message;
}

}  // namespace

TEST_CASE("the golden checkpoint opens with its configs and all its tensors") {
  const Checkpoint checkpoint = Checkpoint::open(golden_dir("text-e"));
  const SafetensorsFile file(golden_dir("text-e") / "model.safetensors");
  CHECK(checkpoint.names().size() == file.tensors().size());
  uint64_t total = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    total += tensor.bytes();
    REQUIRE(checkpoint.find(name) != nullptr);
    CHECK(checkpoint.find(name)->shape == tensor.shape);
  }
  CHECK(checkpoint.total_bytes() == total);
  CHECK(checkpoint.find("no such tensor") == nullptr);
  CHECK(checkpoint.config().contains("text_config"));
  CHECK(checkpoint.generation_config().contains("eos_token_id"));
  checkpoint.advise_willneed(checkpoint.names().front());
  checkpoint.release(checkpoint.names().front());
  checkpoint.release("no such tensor");
}

TEST_CASE("shards with an index are one checkpoint") {
  const TempDir dir;
  put_shards(dir);
  put(dir / kIndex, index_of({{"a", kShard1}, {"b", kShard2}}));
  Checkpoint opened = Checkpoint::open(dir.path());
  const Checkpoint checkpoint = std::move(opened);
  CHECK(checkpoint.names() == std::vector<std::string>{"a", "b"});
  CHECK(*static_cast<const char*>(checkpoint.find("b")->data) == 'x');
  CHECK(checkpoint.generation_config() == Json::object());
}

TEST_CASE("a complete set of shards needs no index, but its tensors must differ") {
  const TempDir dir;
  put_shards(dir);
  CHECK(Checkpoint::open(dir.path()).names().size() == 2);
  put(dir / kShard2, tiny_safetensors({"b", "a"}));
  CHECK(contains(refusal(dir.path()), "tensor \"a\" is also in model-00001"));
  fs::remove(dir / kShard1);
  CHECK(contains(refusal(dir.path()), (dir / kShard1).string()));
  put(dir / "model-00001-of-00003.safetensors", tiny_safetensors({"c"}));
  CHECK(contains(refusal(dir.path()), "two different sets"));
}

TEST_CASE("the index wins when its shards exist, else the single file") {
  const TempDir dir;
  put_shards(dir);
  put(dir / kIndex, index_of({{"a", kShard1}, {"b", kShard2}}));
  put(dir / "model.safetensors", tiny_safetensors({"single"}));
  CHECK(Checkpoint::open(dir.path()).find("single") == nullptr);
  fs::remove(dir / kShard2);
  CHECK(Checkpoint::open(dir.path()).names() == std::vector<std::string>{"single"});
  fs::remove(dir / "model.safetensors");
  const std::string message = refusal(dir.path());
  CHECK(contains(message, "1 of 2 weight files missing"));
  CHECK(contains(message, (dir / kShard2).string()));
}

TEST_CASE("map and files must agree") {
  const TempDir dir;
  put_shards(dir);
  put(dir / kIndex, index_of({{"a", kShard1}, {"b", kShard2}, {"c", kShard2}}));
  CHECK(contains(refusal(dir.path()), "\"c\" is not in the file the index names"));
  put(dir / kIndex, index_of({{"a", kShard2}, {"b", kShard2}}));
  CHECK(contains(refusal(dir.path()), "\"a\" is not in the file"));
  put(dir / kIndex, index_of({{"a", kShard1}, {"b", kShard2}}));
  put(dir / kShard2, tiny_safetensors({"a", "b"}));
  CHECK(contains(refusal(dir.path()), "\"a\" belongs to model-00001"));
  put(dir / kShard2, tiny_safetensors({"b", "extra"}));
  const Checkpoint checkpoint = Checkpoint::open(dir.path());  // warns
  CHECK(checkpoint.find("extra") == nullptr);
  CHECK(checkpoint.names().size() == 2);
}

TEST_CASE("an index may only name plain safetensors files") {
  const TempDir dir;
  put_shards(dir);
  for (const char* file : {"../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors",
                           "a\\x.safetensors", "..safetensors", "", "pytorch_model.bin"}) {
    put(dir / kIndex, index_of({{"a", file}}));
    CHECK(contains(refusal(dir.path()), "tensor \"a\" is mapped to"));
  }
  put(dir / kIndex, R"({"weight_map":{"a":"x\u0000.safetensors"}})");
  CHECK(contains(refusal(dir.path()), "tensor \"a\" is mapped to"));
  put(dir / kIndex, R"({"weight_map":{"a":7}})");
  CHECK(contains(refusal(dir.path()), "tensor \"a\" is mapped to 7"));
  put(dir / kIndex, R"({"weight_map":{"a":"m.safetensors","a":"m.safetensors"}})");
  CHECK(contains(refusal(dir.path()), "twice"));
  for (const char* text : {"[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})", "{"}) {
    put(dir / kIndex, text);
    CHECK(contains(refusal(dir.path()), (dir / kIndex).string()));
  }
}

TEST_CASE("directories without safetensors weights are refused with the reason") {
  const TempDir dir;
  put(dir / "config.json", "{}");
  CHECK(contains(refusal(dir.path()), "no weights"));
  put(dir / "model.gguf", "GGUF");
  CHECK(contains(refusal(dir.path()), "GGUF"));
  fs::remove(dir / "model.gguf");
  put(dir / "pytorch_model.bin", "pickle");
  CHECK(contains(refusal(dir.path()), "pickled weights (pytorch_model.bin)"));
  CHECK(contains(refusal(dir / "none"), "no such model directory"));
}

TEST_CASE("a missing or broken config is an error that names it") {
  const TempDir dir;
  put(dir / "model.safetensors", tiny_safetensors({"a"}));
  CHECK(contains(refusal(dir.path()), (dir / "config.json").string()));
  put(dir / "config.json", "[]");
  CHECK(contains(refusal(dir.path()), "not a JSON object"));
  put(dir / "config.json", "{}");
  CHECK(Checkpoint::open(dir.path()).names().size() == 1);
  put(dir / "generation_config.json", "{");
  CHECK(contains(refusal(dir.path()), (dir / "generation_config.json").string()));
}

}  // namespace gemma4
