// A regular file mapped into memory, read-only and private.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace gemma4 {

/// Owns the mapping; the bytes live as long as the object (or the one it was moved into).
/// The size is read once: a file that another program shrinks while it is mapped ends this one
/// with SIGBUS, as for every program that maps files.
class MappedFile {
 public:
  /// Throws Error(kModel) when `path` is not a regular file or cannot be opened or mapped.
  explicit MappedFile(std::filesystem::path path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::filesystem::path& path() const { return path_; }

  /// Asks the kernel to read this range ahead. Ranges past the end are cut.
  void advise_willneed(uint64_t offset, uint64_t length) const;
  /// Drops the pages of this range from this process; a later access reads them again.
  void release(uint64_t offset, uint64_t length) const;

 private:
  void advise(uint64_t offset, uint64_t length, int advice) const;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace gemma4
