#include "lib/io/mapped_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include "tests/io/temp_dir.h"

namespace gemma4 {
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

}  // namespace

TEST_CASE("a mapped file shows its bytes, also after it was moved") {
  const TempDir dir;
  put(dir / "a", "first");
  put(dir / "b", "second");
  MappedFile a(dir / "a");
  CHECK(text_of(a) == "first");
  MappedFile b(dir / "b");
  b = std::move(a);
  CHECK(text_of(b) == "first");
  CHECK(b.path() == dir / "a");
  const MappedFile c(std::move(b));
  CHECK(text_of(c) == "first");
}

TEST_CASE("an empty file is mapped to no bytes") {
  const TempDir dir;
  put(dir / "empty", "");
  const MappedFile file(dir / "empty");
  CHECK(file.bytes().empty());
  file.release(0, 10);
  file.advise_willneed(0, 10);
}

TEST_CASE("released pages are read again from the file") {
  const TempDir dir;
  std::string text(100'000, 'a');
  text[50'000] = 'b';
  put(dir / "file", text);
  const MappedFile file(dir / "file");
  CHECK(text_of(file) == text);
  file.release(1, 60'000);
  file.release(99'999, UINT64_MAX);
  file.release(UINT64_MAX, 1);
  file.advise_willneed(5000, UINT64_MAX);
  CHECK(text_of(file) == text);
}

TEST_CASE("what is not a readable regular file is a model error that names it") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  for (const std::filesystem::path& path : {dir / "none", dir.path(), dir / "fifo"}) {
    ErrorKind kind{};
    const std::string message = error_of([&] { MappedFile file(path); }, &kind);
    CHECK(kind == ErrorKind::kModel);
    CHECK(contains(message, path.string()));
  }
}

}  // namespace gemma4
