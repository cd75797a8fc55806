#include "lib/io/model_location.h"

#include <doctest/doctest.h>

#include <map>
#include <optional>

#include "tests/io/temp_dir.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

const std::string kCommit(40, 'a');
const std::string kOther(40, 'b');
constexpr const char* kRepository = "models--google--gemma-4-E2B-it";
constexpr const char* kId = "google/gemma-4-E2B-it";

// Sets variables for one test; the five that name the cache and the model are cleared first.
class Environment {
 public:
  explicit Environment(std::map<std::string, std::string> values) {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME",
                             "HOME", "GEMMA4_MODEL"}) {
      const char* value = std::getenv(name);
      old_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      ::unsetenv(name);
    }
    for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : old_) {
      if (value) {
        ::setenv(name.c_str(), value->c_str(), 1);
      } else {
        ::unsetenv(name.c_str());
      }
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> old_;
};

// A file of a snapshot as the Hub's tools lay it out: a blob, and a relative link to it.
void put_blob(const fs::path& repository, const std::string& commit, const std::string& name,
              const std::string& text) {
  put(repository / "blobs" / (commit.substr(0, 4) + name), text);
  fs::create_directories(repository / "snapshots" / commit);
  fs::create_symlink("../../blobs/" + commit.substr(0, 4) + name,
                     repository / "snapshots" / commit / name);
}

void put_snapshot(const fs::path& repository, const std::string& commit) {
  put_blob(repository, commit, "config.json", "{}");
  put_blob(repository, commit, "tokenizer.json", "{}");
  put_blob(repository, commit, "model.safetensors", tiny_safetensors({"a"}));
}

std::string refusal(const std::string& model, const ModelSearch& search = {}) {
  ErrorKind kind{};
  const std::string message = error_of([&] { locate_model(model, search); }, &kind);
  CHECK(kind == ErrorKind::kModel);
  return message;
}

}  // namespace

TEST_CASE("a directory is itself, and a safetensors file means its folder") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  put(dir / "model/model.safetensors", "x");
  put(dir / "model/model.gguf", "x");
  put(dir / "model/notes.txt", "x");
  CHECK(locate_model(dir / "model") == dir / "model");
  CHECK(locate_model(dir / "model/model.safetensors") == dir / "model");
  CHECK(contains(refusal(dir / "model/model.gguf"), "GGUF"));
  CHECK(contains(refusal(dir / "model/notes.txt"), "not a model"));
  CHECK(contains(refusal(dir / "none"), "no such model"));
}

TEST_CASE("an empty name means GEMMA4_MODEL, and nothing at all is a usage error") {
  const TempDir dir;
  ErrorKind kind{};
  {
    const Environment environment({{"HF_HUB_CACHE", dir.path()}, {"GEMMA4_MODEL", dir.path()}});
    CHECK(locate_model("") == dir.path());
  }
  const Environment environment({{"HF_HUB_CACHE", dir.path()}, {"GEMMA4_MODEL", ""}});
  CHECK(contains(error_of([] { locate_model(""); }, &kind), "GEMMA4_MODEL"));
  CHECK(kind == ErrorKind::kUsage);
}

TEST_CASE("a Hub id is found in the cache by main, branch, pull request and commit") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  const fs::path repository = dir / kRepository;
  put_snapshot(repository, kCommit);
  put_snapshot(repository, kOther);
  put(repository / "refs/main", kCommit + "\n");
  put(repository / "refs/refs/pr/7", kOther);
  CHECK(locate_model(kId) == repository / "snapshots" / kCommit);
  CHECK(locate_model("e2b") == repository / "snapshots" / kCommit);
  CHECK(locate_model(std::string(kId) + "@main") == repository / "snapshots" / kCommit);
  CHECK(locate_model(std::string(kId) + "@refs/pr/7") == repository / "snapshots" / kOther);
  CHECK(locate_model("e2b@" + kOther) == repository / "snapshots" / kOther);
  CHECK(contains(refusal("e2b@v9"), "gemma4 pull google/gemma-4-E2B-it@v9"));
  put(repository / "refs/main", "../../../etc");
  CHECK(contains(refusal(kId), "not a commit id"));
  put(repository / "refs/main", std::string(40, 'c'));
  CHECK(contains(refusal(kId), "not in the Hub cache"));
}

TEST_CASE("an assistant is found beside its model, and in the cache by the model's id or alias") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  fs::create_directories(dir / "model");
  CHECK_FALSE(locate_assistant((dir / "model").string()).has_value());
  fs::create_directories(dir / "model-assistant");
  CHECK(locate_assistant((dir / "model").string()) == dir / "model-assistant");
  CHECK(locate_assistant((dir / "model").string() + "/") == dir / "model-assistant");
  CHECK_FALSE(locate_assistant("e2b").has_value());
  CHECK_FALSE(locate_assistant("").has_value());
  const fs::path repository = dir / "models--google--gemma-4-E2B-it-assistant";
  put_snapshot(repository, kCommit);
  put(repository / "refs/main", kCommit);
  CHECK(locate_assistant("e2b") == repository / "snapshots" / kCommit);
  CHECK(locate_assistant("google/gemma-4-E2B-it@main") == repository / "snapshots" / kCommit);
}

TEST_CASE("the demo model's assistant is the one that is installed beside it") {
  const TempDir dir;
  fs::create_directories(dir / "models/demo");
  CHECK_FALSE(locate_assistant("demo", {dir.path()}).has_value());
  fs::create_directories(dir / "models/demo-assistant");
  CHECK(locate_assistant("demo", {dir.path()}) == dir / "models/demo-assistant");
}

TEST_CASE("each alias names the instruction-tuned checkpoint") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  const std::map<std::string, std::string> expected = {{"e2b", "E2B"},         {"e4b", "E4B"},
                                                       {"12b", "12B"},         {"26b", "26B-A4B"},
                                                       {"26b-a4b", "26B-A4B"}, {"31b", "31B"}};
  for (const auto& [alias, size] : expected) {
    const std::string message = refusal(alias);
    CHECK(contains(message, "gemma4 pull google/gemma-4-" + size + "-it"));
    CHECK(contains(message, dir.path().string()));
  }
}

TEST_CASE("without refs/main the only snapshot is used, and several are listed") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  const fs::path repository = dir / kRepository;
  put_snapshot(repository, kCommit);
  CHECK(locate_model(kId) == repository / "snapshots" / kCommit);
  put_snapshot(repository, kOther);
  const std::string message = refusal(kId);
  CHECK(contains(message, kCommit));
  CHECK(contains(message, kOther));
}

TEST_CASE("a partial snapshot is refused with the names of what is missing") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  const fs::path repository = dir / kRepository;
  const fs::path snapshot = repository / "snapshots" / kCommit;
  put(repository / "refs/main", kCommit);
  put_blob(repository, kCommit, "config.json", "{}");
  std::string message = refusal(kId);
  CHECK(contains(message, "missing tokenizer.json, model.safetensors"));
  CHECK(contains(message, snapshot.string()));
  CHECK(contains(message, "gemma4 pull google/gemma-4-E2B-it"));

  put_blob(repository, kCommit, "model.safetensors.index.json",
           R"({"weight_map":{"a":"one.safetensors","b":"two.safetensors"}})");
  put_blob(repository, kCommit, "one.safetensors", tiny_safetensors({"a"}));
  CHECK(contains(refusal(kId), "missing tokenizer.json, two.safetensors"));
  put_blob(repository, kCommit, "two.safetensors", tiny_safetensors({"b"}));
  CHECK(contains(refusal(kId), "missing tokenizer.json"));
  CHECK(locate_model(kId, {.share_dirs = {}, .needs_tokenizer = false}) == snapshot);

  fs::create_symlink("../../blobs/none", snapshot / "tokenizer.json");
  CHECK(contains(refusal(kId), "missing tokenizer.json"));
  fs::remove(snapshot / "tokenizer.json");
  put(repository / "blobs/half.incomplete", "{}");
  fs::create_symlink("../../blobs/half.incomplete", snapshot / "tokenizer.json");
  CHECK(contains(refusal(kId), "missing tokenizer.json"));
  fs::remove(snapshot / "tokenizer.json");
  put(snapshot / "tokenizer.json", "{}");  // a plain file, as on file systems without links
  CHECK(locate_model(kId) == snapshot);
}

TEST_CASE("a link that leads out of the repository's folder is refused") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir / "hub"}});
  const fs::path repository = dir / "hub" / kRepository;
  const fs::path snapshot = repository / "snapshots" / kCommit;
  put(dir / "secret", "{}");
  put(dir / "hub" / (std::string(kRepository) + "-x/secret"), "{}");
  put(repository / "refs/main", kCommit);
  put_snapshot(repository, kCommit);
  REQUIRE(locate_model(kId) == snapshot);
  for (const std::string& target :
       {(dir / "secret").string(), std::string("../../../../secret"),
        "../../../" + std::string(kRepository) + "-x/secret", std::string("/")}) {
    fs::create_symlink(target, snapshot / "chat_template.jinja");
    CHECK(contains(refusal(kId), "leads out of"));
    fs::remove(snapshot / "chat_template.jinja");
  }
  fs::rename(snapshot, dir / "elsewhere");
  fs::create_symlink(dir / "elsewhere", snapshot);
  CHECK(contains(refusal(kId), "leads out of"));
}

TEST_CASE("the cache root is the first that is set") {
  const TempDir dir;
  std::map<std::string, std::string> variables = {{"HF_HUB_CACHE", dir / "one"},
                                                  {"HUGGINGFACE_HUB_CACHE", dir / "two"},
                                                  {"HF_HOME", dir / "three"},
                                                  {"XDG_CACHE_HOME", dir / "four"},
                                                  {"HOME", dir / "five"}};
  const std::vector<std::pair<std::string, fs::path>> order = {
      {"HF_HUB_CACHE", dir / "one"},
      {"HUGGINGFACE_HUB_CACHE", dir / "two"},
      {"HF_HOME", dir / "three/hub"},
      {"XDG_CACHE_HOME", dir / "four/huggingface/hub"},
      {"HOME", dir / "five/.cache/huggingface/hub"}};
  for (const auto& [variable, root] : order) {
    put_snapshot(root / "models--gpt2", kCommit);
    const Environment environment(variables);
    CHECK(locate_model("gpt2") == root / "models--gpt2/snapshots" / kCommit);
    variables.erase(variable);
  }
  const Environment environment({{"HF_HOME", "~/three"}, {"HOME", dir.path()}});
  CHECK(locate_model("gpt2") == dir / "three/hub/models--gpt2/snapshots" / kCommit);
}

TEST_CASE("what cannot be a Hub id or revision is never looked up") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  for (const char* model :
       {"a/b/c", "../x", "a--b/c", "a..b", ".a/b", "a/b-", "-a/b", "a/", "/b", "a b", "a/b@",
        "a/b@../x", "a/b@/etc", "a/b@x//y", "a/b@x y", "@main"}) {
    CAPTURE(model);
    CHECK(contains(refusal(model), "no such model"));
  }
  CHECK(contains(refusal(std::string(97, 'a')), "no such model"));
  CHECK(contains(refusal(std::string(96, 'a')), "not in the local Hub cache"));
}

TEST_CASE("demo lies in the first share folder that has it") {
  const TempDir dir;
  const Environment environment({{"HF_HUB_CACHE", dir.path()}});
  const ModelSearch search{.share_dirs = {dir / "installed", dir / "source"}};
  CHECK(contains(refusal("demo", search), (dir / "installed/models/demo").string()));
  fs::create_directories(dir / "source/models/demo");
  CHECK(locate_model("demo", search) == dir / "source/models/demo");
  fs::create_directories(dir / "installed/models/demo");
  CHECK(locate_model("demo", search) == dir / "installed/models/demo");
}

}  // namespace gemma4
