#include "lib/io/atomic_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <future>

#include "lib/io/json.h"
#include "lib/io/safetensors.h"
#include "lib/io/safetensors_writer.h"
#include "tests/io/temp_dir.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) { return read_file(path, ErrorKind::kInput); }

size_t files_in(const fs::path& directory) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// No file of this process may grow past `bytes` while this lives: a small disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit{bytes, old_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  void (*handler_)(int);
  rlimit old_{};
};

}  // namespace

TEST_CASE("a file appears whole at commit, and nothing before") {
  const TempDir dir;
  AtomicFile file(dir / "out");
  file.write("one ");
  file.write("two");
  CHECK(!fs::exists(dir / "out"));
  file.commit();
  CHECK(text_of(dir / "out") == "one two");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("without commit the old file stays and the temporary is removed") {
  const TempDir dir;
  put(dir / "out", "old");
  {
    AtomicFile file(dir / "out");
    file.write("new");
    CHECK(files_in(dir.path()) == 2);
  }
  CHECK(text_of(dir / "out") == "old");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("two writers of one file do not disturb each other") {
  const TempDir dir;
  AtomicFile a(dir / "out");
  AtomicFile b(dir / "out");
  a.write("a");
  b.write("b");
  a.commit();
  CHECK(text_of(dir / "out") == "a");
  b.commit();
  CHECK(text_of(dir / "out") == "b");
  CHECK(files_in(dir.path()) == 1);
}

TEST_CASE("permissions are those asked for, and never wider than the old file's") {
  const TempDir dir;
  const auto mode_of = [&](const char* name) {
    struct stat status {};
    REQUIRE(::stat((dir / name).c_str(), &status) == 0);
    return status.st_mode & 0777;
  };
  write_file_atomically(dir / "private", "x", 0600);
  CHECK(mode_of("private") == 0600);
  write_file_atomically(dir / "private", "y");
  CHECK(mode_of("private") == 0600);
  put(dir / "public", "x");
  ::chmod((dir / "public").c_str(), 0644);
  write_file_atomically(dir / "public", "y", 0600);
  CHECK(mode_of("public") == 0600);
}

TEST_CASE("a link to a file stays a link") {
  const TempDir dir;
  put(dir / "real", "old");
  fs::create_symlink("real", dir / "link");
  write_file_atomically(dir / "link", "new");
  CHECK(fs::is_symlink(dir / "link"));
  CHECK(text_of(dir / "real") == "new");
}

TEST_CASE("a fifo is written to directly") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  auto reader = std::async(std::launch::async, [&] {
    std::ifstream in(dir / "fifo");
    return std::string(std::istreambuf_iterator<char>(in), {});
  });
  write_file_atomically(dir / "fifo", "through");
  CHECK(reader.get() == "through");
  CHECK(fs::is_fifo(dir / "fifo"));
}

TEST_CASE("a descriptor's name is written to directly, after what the file already holds") {
  const TempDir dir;
  put(dir / "out", "earlier ");
  const int fd = ::open((dir / "out").c_str(), O_WRONLY | O_APPEND);
  REQUIRE(fd >= 0);
  write_file_atomically("/dev/fd/" + std::to_string(fd), "later");
  ::close(fd);
  CHECK(text_of(dir / "out") == "earlier later");
  write_file_atomically("/dev/null", "gone");
  CHECK(fs::is_character_file("/dev/null"));
}

TEST_CASE("a full disk is a resource error that names the file and leaves nothing behind") {
  ErrorKind kind{};
  CHECK(contains(error_of([] { write_file_atomically("/dev/full", "x"); }, &kind), "/dev/full"));
  CHECK(kind == ErrorKind::kResource);

  const TempDir dir;
  {
    const FileSizeLimit small_disk(4096);
    kind = {};
    const std::string text(10'000, 'x');
    const std::string message = error_of([&] { write_file_atomically(dir / "out", text); }, &kind);
    CHECK(kind == ErrorKind::kResource);
    CHECK(contains(message, (dir / "out").string()));
  }
  CHECK(files_in(dir.path()) == 0);
}

TEST_CASE("a target that cannot be written is a resource error") {
  const TempDir dir;
  for (const fs::path& path : {dir / "no/such/folder/file", dir.path(), fs::path("")}) {
    ErrorKind kind{};
    error_of([&] { write_file_atomically(path, "x"); }, &kind);
    CHECK(kind == ErrorKind::kResource);
  }
}

TEST_CASE("what the writer wrote, the reader reads") {
  const TempDir dir;
  const fs::path path = dir / "model.safetensors";
  SafetensorsWriter writer(path,
                           {{"b.u8", Dtype::kU8, {3}},
                            {"scalar", Dtype::kF32, {}},
                            {"a.bf16", Dtype::kBf16, {2, 2}},
                            {"empty", Dtype::kF32, {4, 0}},
                            {"six \"quoted\" \xC3\xA9", Dtype::kF64, {1}},
                            {"half", Dtype::kF4, {2}}},
                           {{"gemma4.scheme", "w4a16"}});
  writer.write("scalar", bytes_of("SCAL"));
  writer.write("b.u8", bytes_of("1"));
  writer.write("a.bf16", bytes_of("abcdefgh"));
  writer.write("b.u8", bytes_of("23"));
  writer.write("half", bytes_of("h"));
  writer.write("empty", {});
  writer.write("six \"quoted\" \xC3\xA9", bytes_of("12345678"));
  CHECK(!fs::exists(path));
  writer.commit();

  const SafetensorsFile file(path);
  const auto text = [&](std::string_view name) {
    const Tensor tensor = file.find(name).value();
    return std::string(static_cast<const char*>(tensor.data), tensor.bytes());
  };
  CHECK(file.tensors().size() == 6);
  CHECK(text("scalar") == "SCAL");
  CHECK(text("b.u8") == "123");
  CHECK(text("a.bf16") == "abcdefgh");
  CHECK(text("half") == "h");
  CHECK(text("six \"quoted\" \xC3\xA9") == "12345678");
  CHECK(file.find("empty")->shape == std::vector<int64_t>{4, 0});
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.metadata().at("gemma4.scheme") == "w4a16");
  // Natural alignment, from the largest elements to the smallest.
  CHECK(reinterpret_cast<uintptr_t>(file.find("six \"quoted\" \xC3\xA9")->data) % 8 == 0);
  CHECK(reinterpret_cast<uintptr_t>(file.find("scalar")->data) % 4 == 0);
  CHECK(file.find("a.bf16")->data < file.find("b.u8")->data);
}

TEST_CASE("a checkpoint that is read and written again has the same tensors") {
  const TempDir dir;
  const SafetensorsFile source(golden_dir("text-moe") / "model.safetensors");
  std::vector<TensorDeclaration> declarations;
  for (const auto& [name, tensor] : source.tensors()) {
    declarations.push_back({name, tensor.dtype, tensor.shape});
  }
  SafetensorsWriter writer(dir / "copy.safetensors", declarations);
  for (const auto& [name, tensor] : source.tensors()) {
    writer.write(name, {static_cast<const std::byte*>(tensor.data), tensor.bytes()});
  }
  writer.commit();
  const SafetensorsFile copy(dir / "copy.safetensors");
  REQUIRE(copy.tensors().size() == source.tensors().size());
  for (const auto& [name, tensor] : source.tensors()) {
    const Tensor other = copy.find(name).value();
    CHECK(other.shape == tensor.shape);
    CHECK(other.dtype == tensor.dtype);
    CHECK(std::memcmp(other.data, tensor.data, tensor.bytes()) == 0);
  }
}

TEST_CASE("an empty safetensors file can be written") {
  const TempDir dir;
  SafetensorsWriter(dir / "none.safetensors", {}).commit();
  CHECK(SafetensorsFile(dir / "none.safetensors").tensors().empty());
}

TEST_CASE("wrong use of the writer is an internal error and leaves no file") {
  const TempDir dir;
  const fs::path path = dir / "x.safetensors";
  const auto kind_of = [&](const std::vector<TensorDeclaration>& tensors, const auto& use) {
    ErrorKind kind{};
    error_of(
        [&] {
          SafetensorsWriter writer(path, tensors);
          use(writer);
        },
        &kind);
    return kind;
  };
  const auto nothing = [](SafetensorsWriter&) {};
  CHECK(kind_of({{"a", Dtype::kU8, {1}}, {"a", Dtype::kU8, {2}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"", Dtype::kU8, {1}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"__metadata__", Dtype::kU8, {1}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"a\n", Dtype::kU8, {1}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"a", Dtype::kU8, {-1}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"a", Dtype::kF4, {3}}}, nothing) == ErrorKind::kInternal);
  CHECK(kind_of({{"a", Dtype::kF64, {INT64_MAX, 8}}}, nothing) == ErrorKind::kInternal);
  const std::vector<TensorDeclaration> one = {{"a", Dtype::kU8, {2}}};
  CHECK(kind_of(one, [](auto& w) { w.write("b", bytes_of("1")); }) == ErrorKind::kInternal);
  CHECK(kind_of(one, [](auto& w) { w.write("a", bytes_of("123")); }) == ErrorKind::kInternal);
  CHECK(kind_of(one, [](auto& w) {
          w.write("a", bytes_of("1"));
          w.commit();
        }) == ErrorKind::kInternal);
  CHECK(files_in(dir.path()) == 0);
}

TEST_CASE("a disk too small for the weights is found out before they are written") {
  const TempDir dir;
  const FileSizeLimit small_disk(4096);
  ErrorKind kind{};
  const std::string message = error_of(
      [&] {
        SafetensorsWriter(dir / "x.safetensors", {{"a", Dtype::kU8, {100'000}}});
      },
      &kind);
  CHECK(kind == ErrorKind::kResource);
  CHECK(contains(message, (dir / "x.safetensors").string()));
  CHECK(files_in(dir.path()) == 0);
}

TEST_CASE("a disk that fills up while weights are written is a resource error") {
  const TempDir dir;
  ErrorKind kind{};
  const std::string message = error_of(
      [&] {
        SafetensorsWriter writer(dir / "x.safetensors", {{"a", Dtype::kU8, {100'000}}});
        const FileSizeLimit small_disk(4096);
        writer.write("a", bytes_of(std::string(100'000, 'x')));
      },
      &kind);
  CHECK(kind == ErrorKind::kResource);
  CHECK(contains(message, (dir / "x.safetensors").string()));
  CHECK(files_in(dir.path()) == 0);
}

}  // namespace gemma4
