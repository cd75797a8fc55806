// Output files that appear whole or not at all.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

namespace gemma4 {

/// Writes to a temporary name beside `path`; commit() makes it durable and renames it to `path`.
/// Without commit() the destructor removes it and `path` stays as it was. A `path` that is not a
/// regular file (a FIFO, a terminal, /dev/stdout) is written to directly. A symbolic link to a
/// regular file stays; its target is replaced. Every failure throws Error(kResource) that names
/// `path`.
class AtomicFile {
 public:
  /// `mode`: permissions of a new file, less the umask; of a file that is replaced, those that
  /// both it and `mode` have.
  explicit AtomicFile(std::filesystem::path path, mode_t mode = 0666);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Writes at a byte offset, in any order; not for a path that is written to directly.
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  /// Takes this much of the disk at once, so that a full disk is found out at the start. No effect
  /// where the file system cannot.
  void reserve(uint64_t bytes);
  void commit();

  const std::filesystem::path& path() const { return path_; }

 private:
  void open_temporary(mode_t mode);
  [[noreturn]] void fail(std::string_view what) const;

  std::filesystem::path path_;       // as given, for messages
  std::filesystem::path target_;     // where the file will be
  std::filesystem::path temporary_;  // empty when written directly, and after commit()
  int fd_ = -1;
};

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes,
                           mode_t mode = 0666);
void write_file_atomically(const std::filesystem::path& path, std::string_view text,
                           mode_t mode = 0666);

}  // namespace gemma4
