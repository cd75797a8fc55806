#include "lib/io/partial_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

FileDigest digest_like(const std::string& digest, uint64_t size) {
  return digest.size() == 64 ? FileDigest::sha256() : FileDigest::git_blob(size);
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path, const std::string& busy) {
  std::error_code ec;
  std::filesystem::create_directories(path.parent_path(), ec);
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) {
    throw Error(ErrorKind::kResource, "cannot create lock", path.string(), std::strerror(errno));
  }
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int reason = errno;
  ::close(fd_);
  if (reason == EWOULDBLOCK) {
    throw Error(ErrorKind::kResource, busy, path.string(), "wait until it has ended");
  }
  throw Error(ErrorKind::kResource, "cannot lock", path.string(), std::strerror(reason));
}

FileLock::~FileLock() { ::close(fd_); }

PartialFile::PartialFile(std::filesystem::path blob, std::string digest, uint64_t size,
                         std::atomic<uint64_t>& left)
    : blob_(std::move(blob)),
      path_(blob_.string() + ".incomplete"),
      digest_(std::move(digest)),
      expected_(size),
      left_(left) {
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("cannot create file");
  try {
    read_earlier_bytes();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

PartialFile::~PartialFile() {
  if (fd_ >= 0) ::close(fd_);
}

void PartialFile::read_earlier_bytes() {
  hash_ = digest_like(digest_, expected_);
  struct stat status;
  if (::fstat(fd_, &status) != 0) fail("cannot read");
  if (static_cast<uint64_t>(status.st_size) > expected_) return restart();
  std::vector<std::byte> buffer(size_t{1} << 20);
  while (true) {
    const ssize_t got = ::read(fd_, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail("cannot read");
    if (got == 0) return;
    if (static_cast<uint64_t>(got) > expected_ - written_) return restart();  // it still grows
    hash_->update({buffer.data(), static_cast<size_t>(got)});
    set_written(written_ + static_cast<uint64_t>(got));
  }
}

void PartialFile::set_written(uint64_t bytes) {
  written_ = bytes;
  left_ = expected_ - written_;
}

void PartialFile::append(std::span<const std::byte> bytes) {
  if (bytes.size() > expected_ - written_) {
    throw Error(ErrorKind::kModel,
                "the server sends more than the " + std::to_string(expected_) + " bytes it named",
                blob_.string());
  }
  while (!bytes.empty()) {
    const ssize_t put = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(written_));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) fail("cannot write to");
    const auto count = static_cast<size_t>(put);
    hash_->update(bytes.first(count));
    set_written(written_ + count);
    bytes = bytes.subspan(count);
  }
}

void PartialFile::restart() {
  if (::ftruncate(fd_, 0) != 0) fail("cannot empty");
  set_written(0);
  hash_ = digest_like(digest_, expected_);
}

bool PartialFile::finish() {
  if (hash_->finish() != digest_) {
    restart();
    return false;
  }
  if (::fsync(fd_) != 0) fail("cannot write to");
  if (::close(std::exchange(fd_, -1)) != 0) fail("cannot write to");
  if (::rename(path_.c_str(), blob_.c_str()) != 0) fail("cannot rename");
  return true;
}

void PartialFile::fail(const std::string& what) const {
  const std::string reason = std::strerror(errno);
  throw Error(ErrorKind::kResource, what, path_.string(),
              reason + "; what was downloaded stays, the same command goes on from there");
}

}  // namespace gemma4
