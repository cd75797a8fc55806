#include "lib/text/tokenizer_cache.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <optional>

#include "lib/io/json.h"
#include "lib/text/content_hash.h"
#include "lib/text/tokenizer.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

// Sets an environment variable for one test.
class WithEnvironment {
 public:
  WithEnvironment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    setenv(name, value.c_str(), 1);
  }
  ~WithEnvironment() {
    if (old_) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }

 private:
  const char* name_;
  std::optional<std::string> old_;
};

std::filesystem::path only_cache_file(const std::filesystem::path& home) {
  std::filesystem::path found;
  for (const auto& entry : std::filesystem::directory_iterator(home / "gemma4")) {
    CHECK(found.empty());
    found = entry.path();
  }
  return found;
}

void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_CASE("a tokenizer from the cache is the tokenizer that was cached") {
  const ScratchDir scratch;
  const WithEnvironment home("XDG_CACHE_HOME", (scratch.path() / "cache").string());
  write_tiny_tokenizer(scratch.path(), {.adds_bos = true});
  const auto built = Tokenizer::load(scratch.path());
  const auto cached = Tokenizer::load(scratch.path());
  CHECK(!only_cache_file(scratch.path() / "cache").empty());
  REQUIRE(cached->vocab_size() == built->vocab_size());
  CHECK(cached->adds_bos());
  for (TokenId id = 0; id < built->vocab_size(); ++id) {
    REQUIRE(cached->token_bytes(id) == built->token_bytes(id));
    REQUIRE(cached->is_control(id) == built->is_control(id));
    REQUIRE(cached->is_byte(id) == built->is_byte(id));
  }
  const std::string text = "<|turn>user\nthe thought<turn|>\n> < ö";
  CHECK(cached->encode(text, true) == built->encode(text, true));
}

TEST_CASE("a damaged cache is rebuilt, never trusted") {
  const ScratchDir scratch;
  const WithEnvironment home("XDG_CACHE_HOME", (scratch.path() / "cache").string());
  write_tiny_tokenizer(scratch.path());
  const auto ids = Tokenizer::load(scratch.path())->encode("the user", false);
  const auto path = only_cache_file(scratch.path() / "cache");
  const std::string good = read_file(path, ErrorKind::kModel);
  const auto check_rebuilt = [&](const std::string& bad) {
    write(path, bad);
    CHECK_FALSE(read_tokenizer_cache(path).has_value());
    CHECK(Tokenizer::load(scratch.path())->encode("the user", false) == ids);
    CHECK(read_file(path, ErrorKind::kModel) == good);
  };
  check_rebuilt("");
  check_rebuilt(good.substr(0, 20));
  check_rebuilt(good.substr(0, good.size() - 1));
  check_rebuilt(good + "x");
  for (size_t at = 0; at < good.size(); at += 1 + good.size() / 50) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    check_rebuilt(bad);
  }
  // A length that does not fit, with a hash that does.
  std::string bad = good;
  bad[16 + 7] = '\x7F';
  const uint64_t hash = content_hash(std::string_view(bad).substr(16));
  bad.replace(8, 8, reinterpret_cast<const char*>(&hash), 8);
  check_rebuilt(bad);
}

TEST_CASE("another tokenizer.json has another cache file") {
  const ScratchDir scratch;
  const WithEnvironment home("XDG_CACHE_HOME", (scratch.path() / "cache").string());
  write_tiny_tokenizer(scratch.path());
  const int64_t size = Tokenizer::load(scratch.path())->vocab_size();
  write_tiny_tokenizer(scratch.path(), {.unused_tokens = 1});
  CHECK(Tokenizer::load(scratch.path())->vocab_size() == size + 1);
}

TEST_CASE("a cache that cannot be written is no error") {
  const ScratchDir scratch;
  write_tiny_tokenizer(scratch.path());
  write(scratch.path() / "file", "not a directory");
  for (const std::string& place : {(scratch.path() / "file").string(), std::string("/proc/none")}) {
    const WithEnvironment home("XDG_CACHE_HOME", place);
    CHECK(Tokenizer::load(scratch.path())->vocab_size() > 0);
  }
}

TEST_CASE("without a usable XDG_CACHE_HOME the cache is under the home directory") {
  const WithEnvironment home("HOME", "/home/someone");
  const WithEnvironment relative("XDG_CACHE_HOME", "relative");
  CHECK(tokenizer_cache_path("x").parent_path() == "/home/someone/.cache/gemma4");
  const WithEnvironment no_home("HOME", "");
  CHECK(tokenizer_cache_path("x").empty());
}

TEST_CASE("every byte and the length count in the content hash") {
  std::string text(200, 'x');
  const uint64_t hash = content_hash(text);
  CHECK(content_hash(text + '\0') != hash);
  for (char& c : text) {
    c ^= 1;
    CHECK(content_hash(text) != hash);
    c ^= 1;
  }
  CHECK(content_hash(text) == hash);
  CHECK(content_hash("") != content_hash(std::string(1, '\0')));
}

}  // namespace
}  // namespace gemma4
