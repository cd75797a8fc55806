#include "lib/media/media_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

[[noreturn]] void throw_unreadable(const std::string& name, int error_number) {
  throw Error(ErrorKind::kInput, "cannot read the file", name, std::strerror(error_number));
}

[[noreturn]] void throw_too_large(const std::string& name, uint64_t max_bytes) {
  throw Error(ErrorKind::kInput, "the file is too large", name,
              fmt::format("at most {} MiB are accepted", max_bytes >> 20));
}

class FileHandle {
 public:
  explicit FileHandle(int file) : file_(file) {}
  ~FileHandle() {
    if (file_ >= 0) ::close(file_);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;
  int get() const { return file_; }
  int release() { return std::exchange(file_, -1); }

 private:
  int file_;
};

void write_all(int file, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = ::write(file, data, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      throw Error(ErrorKind::kResource, "cannot write the temporary copy of the input", "",
                  std::strerror(errno));
    }
    data += written;
    size -= static_cast<size_t>(written);
  }
}

/// Copies a stream to a temporary file that has no name and goes with its last handle.
int spool(int stream, const std::string& name, uint64_t max_bytes) {
  const char* folder = std::getenv("TMPDIR");
  std::string path =
      std::string(folder != nullptr && *folder != '\0' ? folder : "/tmp") + "/gemma4-media-XXXXXX";
  FileHandle copy(::mkostemp(path.data(), O_CLOEXEC));
  if (copy.get() < 0) {
    throw Error(ErrorKind::kResource, "cannot create a temporary file", path, std::strerror(errno));
  }
  ::unlink(path.c_str());

  std::vector<char> block(size_t{1} << 20);
  uint64_t total = 0;
  for (;;) {
    const ssize_t got = ::read(stream, block.data(), block.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_unreadable(name, errno);
    if (got == 0) break;
    total += static_cast<uint64_t>(got);
    if (total > max_bytes) throw_too_large(name, max_bytes);
    write_all(copy.get(), block.data(), static_cast<size_t>(got));
  }
  return copy.release();
}

}  // namespace

MediaSourcePtr MediaSource::open(const std::string& path, uint64_t max_bytes) {
  const bool is_stdin = path == "-";
  const std::string name = is_stdin ? "stdin" : path;
  FileHandle file(is_stdin ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)
                           : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw_unreadable(name, errno);

  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) throw_unreadable(name, errno);
  if (S_ISDIR(status.st_mode)) throw_unreadable(name, EISDIR);
  // A redirected stdin may have been read in part by someone else: only what is left counts.
  const bool in_place =
      S_ISREG(status.st_mode) && (!is_stdin || ::lseek(file.get(), 0, SEEK_CUR) == 0);

  std::shared_ptr<MediaSource> source(new MediaSource());
  source->name_ = name;
  source->file_ = in_place ? file.release() : spool(file.get(), name, max_bytes);
  if (::fstat(source->file_, &status) != 0) throw_unreadable(name, errno);
  source->size_ = static_cast<uint64_t>(status.st_size);
  if (source->size_ == 0) throw Error(ErrorKind::kInput, "the file is empty", name);
  if (source->size_ > max_bytes) throw_too_large(name, max_bytes);
  return source;
}

MediaSourcePtr MediaSource::from_bytes(std::string bytes, std::string name) {
  if (bytes.empty()) throw Error(ErrorKind::kInput, "the file is empty", name);
  std::shared_ptr<MediaSource> source(new MediaSource());
  source->name_ = std::move(name);
  source->size_ = bytes.size();
  source->memory_ = std::move(bytes);
  return source;
}

MediaSource::~MediaSource() {
  if (file_ >= 0) ::close(file_);
}

size_t MediaSource::read_at(uint64_t offset, std::span<uint8_t> out) const {
  if (offset >= size_) return 0;
  const size_t wanted = static_cast<size_t>(std::min<uint64_t>(out.size(), size_ - offset));
  if (file_ < 0) {
    std::memcpy(out.data(), memory_.data() + offset, wanted);
    return wanted;
  }
  size_t done = 0;
  while (done < wanted) {
    const ssize_t got =
        ::pread(file_, out.data() + done, wanted - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_unreadable(name_, errno);
    if (got == 0) break;  // the file was cut while we read it
    done += static_cast<size_t>(got);
  }
  return done;
}

std::string MediaSource::head(size_t count) const {
  std::string bytes(count, '\0');
  bytes.resize(read_at(0, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()}));
  return bytes;
}

}  // namespace gemma4
