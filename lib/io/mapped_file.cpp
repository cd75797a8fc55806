#include "lib/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

}  // namespace

MappedFile::MappedFile(std::filesystem::path path) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a FIFO would wait for a writer before fstat can refuse it.
  const Descriptor file{::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.fd < 0) {
    throw Error(ErrorKind::kModel, "cannot open file", path_.string(), std::strerror(errno));
  }
  struct stat status;
  if (::fstat(file.fd, &status) != 0) {
    throw Error(ErrorKind::kModel, "cannot read file status", path_.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::kModel, "not a regular file", path_.string());
  }
  if (status.st_size == 0) return;  // an empty range cannot be mapped
  size_ = static_cast<size_t>(status.st_size);
  void* mapping = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd, 0);
  if (mapping == MAP_FAILED) {
    throw Error(ErrorKind::kModel, "cannot map file", path_.string(), std::strerror(errno));
  }
  data_ = static_cast<const std::byte*>(mapping);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::advise_willneed(uint64_t offset, uint64_t length) const {
  advise(offset, length, MADV_WILLNEED);
}

void MappedFile::release(uint64_t offset, uint64_t length) const {
  advise(offset, length, MADV_DONTNEED);
}

void MappedFile::advise(uint64_t offset, uint64_t length, int advice) const {
  if (offset >= size_) return;
  length = std::min<uint64_t>(length, size_ - offset);
  if (length == 0) return;
  // Whole pages: the neighbours that share the first or last page are at worst read again.
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = offset / page * page;
  // Advice that the kernel does not take changes no result, so its failure is not an error.
  ::madvise(const_cast<std::byte*>(data_) + begin, offset + length - begin, advice);
}

}  // namespace gemma4
