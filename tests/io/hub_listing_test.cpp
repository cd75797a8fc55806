#include "lib/io/hub_listing.h"

#include <doctest/doctest.h>

#include "lib/io/file_digest.h"
#include "lib/io/hub_download.h"
#include "tests/io/temp_dir.h"

namespace gemma4 {
namespace {

const std::string kCommit(40, 'a');

HubListing listing_of(const std::string& files) {
  return parse_hub_listing(R"({"sha":")" + kCommit + R"(","siblings":[)" + files + "]}", "test");
}

std::string refusal(const std::string& files) {
  ErrorKind kind{};
  const std::string message = error_of([&] { listing_of(files); }, &kind);
  CHECK(kind == ErrorKind::kModel);
  return message;
}

std::vector<std::string> chosen(const HubListing& listing,
                                const std::vector<std::string>& patterns) {
  std::vector<std::string> names;
  for (const HubFile& file : choose_hub_files(listing, patterns)) names.push_back(file.name);
  return names;
}

std::string digest_of(FileDigest digest, std::string_view text) {
  digest.update(std::as_bytes(std::span(text.substr(0, 1))));
  digest.update(std::as_bytes(std::span(text.substr(1))));
  return digest.finish();
}

}  // namespace

TEST_CASE("a listing says commit, names, sizes and digests, as far as it does") {
  const std::string sha256(64, 'b');
  const HubListing listing =
      listing_of(R"({"rfilename":"a.json","size":3,"blobId":")" + kCommit + R"("},)" +
                 R"({"rfilename":"sub/b.safetensors","size":130,"lfs":{"sha256":")" + sha256 +
                 R"(","size":4000000000}},{"rfilename":"c"})");
  CHECK(listing.commit == kCommit);
  REQUIRE(listing.files.size() == 3);
  CHECK(listing.files[0].digest == kCommit);
  CHECK(listing.files[0].size == 3u);
  CHECK(listing.files[1].digest == sha256);
  CHECK(listing.files[1].size == 4'000'000'000u);
  CHECK(listing.files[2].digest.empty());
  CHECK(!listing.files[2].size);
}

TEST_CASE("names that could leave the snapshot are refused") {
  for (const char* name : {"..", ".", "../a", "a/..", "a/../b", "/a", "a//b", "a/", "", "a\\\\b",
                           "a\\u0000b", "a\\nb", "a\\u007f"}) {
    CAPTURE(name);
    CHECK(contains(refusal(R"({"rfilename":")" + std::string(name) + R"("})"), "file name"));
  }
  CHECK(contains(refusal(R"({"rfilename":"a"},{"rfilename":"a"})"), "two files"));
}

TEST_CASE("the program's files are chosen from the topmost folder, patterns from all") {
  std::string files;
  for (const char* name : {"config.json", "m.safetensors", "t.jinja", "t.model", "README.md",
                           "m.gguf", "sub/config.json", "sub/x.txt"}) {
    files += std::string(files.empty() ? "" : ",") + R"({"rfilename":")" + name + R"("})";
  }
  const HubListing listing = listing_of(files);
  using Names = std::vector<std::string>;
  CHECK(chosen(listing, {}) == Names{"config.json", "m.safetensors", "t.jinja", "t.model"});
  CHECK(chosen(listing, {"*.json"}) == Names{"config.json", "sub/config.json"});
  CHECK(chosen(listing, {"sub/*", "m.*"}) ==
        Names{"m.safetensors", "m.gguf", "sub/config.json", "sub/x.txt"});
}

TEST_CASE("digests are those of git and sha256sum") {
  // printf hello | git hash-object --stdin; printf hello | sha256sum
  CHECK(digest_of(FileDigest::git_blob(5), "hello") == "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
  CHECK(digest_of(FileDigest::sha256(), "hello") ==
        "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
}

TEST_CASE("a token travels over https, and within the machine") {
  CHECK(checked_endpoint("https://hub.example:8443/base//") == "https://hub.example:8443/base");
  CHECK(may_carry_token("https://hub.example"));
  CHECK(may_carry_token("http://127.0.0.1:80"));
  CHECK(may_carry_token("http://localhost:1"));
  CHECK(may_carry_token("http://[::1]:1"));
  CHECK(!may_carry_token("http://hub.example"));
  CHECK(!may_carry_token("http://localhost.example"));
  for (const char* bad : {"", "hub.example", "ftp://hub.example", "file:///etc", "https://",
                          "https://u:p@hub.example", "https://hub.example/?a=b"}) {
    CAPTURE(bad);
    ErrorKind kind{};
    const std::string message = error_of([&] { checked_endpoint(bad); }, &kind);
    CHECK(kind == ErrorKind::kUsage);
    CHECK(!contains(message, "u:p"));
  }
}

}  // namespace gemma4
