#include "lib/io/atomic_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

// These name an open descriptor of this process, whatever lies behind it: when that is a regular
// file, a rename would replace the link in /dev, or cut off the file the shell has opened.
bool names_a_descriptor(const fs::path& path) {
  const std::string text = path.lexically_normal().string();
  return text == "/dev/stdout" || text == "/dev/stderr" || text.starts_with("/dev/fd/") ||
         text.starts_with("/proc/");
}

}  // namespace

AtomicFile::AtomicFile(fs::path path, mode_t mode) : path_(std::move(path)), target_(path_) {
  std::error_code ec;
  const fs::file_status status = fs::status(path_, ec);
  if (fs::is_directory(status)) {
    errno = EISDIR;
    fail("cannot write to");
  }
  if (names_a_descriptor(path_) || (fs::exists(status) && !fs::is_regular_file(status))) {
    // O_APPEND: behind /dev/stdout may be a file that already holds earlier output.
    fd_ = ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd_ < 0) fail("cannot open for writing");
    return;
  }
  if (fs::is_symlink(path_, ec) && fs::exists(status)) target_ = fs::canonical(path_, ec);
  if (ec) target_ = path_;
  open_temporary(mode);
}

void AtomicFile::open_temporary(mode_t mode) {
  constexpr int kAttempts = 1000;  // names may be left over from a process with the same id
  const std::string stem = target_.string() + "." + std::to_string(::getpid()) + ".";
  for (int i = 0; fd_ < 0 && i < kAttempts; ++i) {
    temporary_ = stem + std::to_string(i) + ".tmp";
    fd_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd_ < 0 && errno != EEXIST) break;
  }
  if (fd_ < 0) fail("cannot create file");
  struct stat old;
  if (::stat(target_.c_str(), &old) == 0 && ::fchmod(fd_, old.st_mode & mode & 07777) != 0) {
    const int reason = errno;
    ::close(fd_);
    ::unlink(temporary_.c_str());
    errno = reason;
    fail("cannot set permissions of");
  }
}

AtomicFile::~AtomicFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write to");
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void AtomicFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void AtomicFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  if (temporary_.empty()) {
    errno = ESPIPE;
    fail("cannot write out of order to");
  }
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail("cannot write to");
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += static_cast<uint64_t>(written);
  }
}

void AtomicFile::reserve(uint64_t bytes) {
  if (temporary_.empty() || bytes == 0) return;
  if (::fallocate(fd_, 0, 0, static_cast<off_t>(bytes)) != 0 && errno != EOPNOTSUPP &&
      errno != ENOSYS && errno != EINTR) {
    fail("cannot take " + std::to_string(bytes) + " bytes of disk for");
  }
}

void AtomicFile::commit() {
  if (!temporary_.empty() && ::fsync(fd_) != 0) fail("cannot write to");
  if (::close(std::exchange(fd_, -1)) != 0) fail("cannot write to");
  if (temporary_.empty()) return;
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail("cannot rename the new file to");
  temporary_.clear();
  // The new name is durable only when its directory is; the file itself is already complete, so
  // a file system that cannot do this is no reason to fail.
  const fs::path directory = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
  const int fd = ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    ::fsync(fd);
    ::close(fd);
  }
}

void AtomicFile::fail(std::string_view what) const {
  throw Error(ErrorKind::kResource, what, path_.string(), std::strerror(errno));
}

void write_file_atomically(const fs::path& path, std::span<const std::byte> bytes, mode_t mode) {
  AtomicFile file(path, mode);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const fs::path& path, std::string_view text, mode_t mode) {
  write_file_atomically(path, std::as_bytes(std::span(text)), mode);
}

}  // namespace gemma4
