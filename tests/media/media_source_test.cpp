#include "lib/media/media_source.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "lib/media/data_uri.h"
#include "tests/media/media_files.h"

namespace gemma4 {
namespace {

std::string bytes_at(const MediaSource& source, uint64_t offset, size_t count) {
  std::string bytes(count, '\0');
  bytes.resize(source.read_at(offset, {reinterpret_cast<uint8_t*>(bytes.data()), count}));
  return bytes;
}

TEST_CASE("bytes of a file and of memory are read at any offset") {
  const TemporaryFolder folder;
  write_bytes(folder.file("a"), "0123456789");
  for (const auto& source :
       {MediaSource::open(folder.file("a")), MediaSource::from_bytes("0123456789", "a")}) {
    CHECK(source->size() == 10);
    CHECK(bytes_at(*source, 3, 4) == "3456");
    CHECK(bytes_at(*source, 8, 4) == "89");
    CHECK(bytes_at(*source, 10, 4).empty());
    CHECK(bytes_at(*source, ~uint64_t{0}, 4).empty());
    CHECK(source->head(3) == "012");
    CHECK(source->head(30) == "0123456789");
  }
}

TEST_CASE("a pipe is read to its end and can then be read at any offset") {
  const TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
  std::thread writer([&] { write_bytes(path, std::string(3'000'000, 'x') + "end"); });
  const auto source = MediaSource::open(path);
  writer.join();
  CHECK(source->size() == 3'000'003);
  CHECK(bytes_at(*source, 3'000'000, 10) == "end");
}

TEST_CASE("stdin is read from where it stands") {
  const TemporaryFolder folder;
  write_bytes(folder.file("a"), "0123456789");
  const int saved = ::dup(STDIN_FILENO);
  REQUIRE(std::freopen(folder.file("a").c_str(), "rb", stdin) != nullptr);
  CHECK(MediaSource::open("-")->size() == 10);
  REQUIRE(::lseek(STDIN_FILENO, 4, SEEK_SET) == 4);
  const auto rest = MediaSource::open("-");
  CHECK(rest->name() == "stdin");
  CHECK(bytes_at(*rest, 0, 100) == "456789");
  ::dup2(saved, STDIN_FILENO);
  ::close(saved);
}

TEST_CASE("missing, empty, too large and directory inputs are refused by name") {
  const TemporaryFolder folder;
  CHECK(contains(error_of([&] { MediaSource::open(folder.file("none.png")); }), "none.png"));
  CHECK(contains(error_of([&] { MediaSource::open(folder.file("")); }), "directory"));
  write_bytes(folder.file("empty"), "");
  CHECK(contains(error_of([&] { MediaSource::open(folder.file("empty")); }), "empty"));
  write_bytes(folder.file("a"), "0123456789");
  CHECK(contains(error_of([&] { MediaSource::open(folder.file("a"), 9); }), "too large"));
  CHECK(contains(error_of([] { MediaSource::open("/dev/zero", 1 << 21); }), "too large"));
}

TEST_CASE("data: URIs are decoded") {
  const DataUri uri = decode_data_uri("data:image/png;charset=x;base64,iVBORw0KGgo=", "messages");
  CHECK(uri.media_type == "image/png");
  CHECK(uri.bytes == "\x89PNG\r\n\x1a\n");
  CHECK(decode_data_uri("DATA:;BASE64,", "x").bytes.empty());
  CHECK(is_data_uri("data:,"));
  CHECK_FALSE(is_data_uri("dat"));
}

TEST_CASE("base64 of every length is decoded, padded or not, in both alphabets") {
  CHECK(decode_base64("", "x").empty());
  CHECK(decode_base64("Zg==", "x") == "f");
  CHECK(decode_base64("Zm8=", "x") == "fo");
  CHECK(decode_base64("Zm9v", "x") == "foo");
  CHECK(decode_base64("Zm9vYg", "x") == "foob");
  CHECK(decode_base64("Zm9v\r\nYmE=\n", "x") == "fooba");
  CHECK(decode_base64("-_8", "x") == decode_base64("+/8=", "x"));
}

TEST_CASE("broken data: URIs and base64 are refused") {
  for (const std::string text :
       {"http://x/y.png", "data:image/png", "data:image/png,abc", "data:image/png;base64x,Zg=="}) {
    CAPTURE(text);
    CHECK(contains(error_of([&] { decode_data_uri(text, "messages[0]"); }), "messages[0]"));
  }
  for (const std::string text : {"Z", "Zg=", "Zg===", "Zg==Zg", "Z g=", "Zm9v=", "=", "Zm9v\x80"}) {
    CAPTURE(text);
    error_of([&] { decode_base64(text, "x"); });
  }
}

}  // namespace
}  // namespace gemma4
