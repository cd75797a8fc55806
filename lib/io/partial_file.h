// A blob of the Hub cache on its way: NAME.incomplete, which a later attempt goes on with.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "lib/io/file_digest.h"

namespace gemma4 {

/// Held by one process at a time, as the Hub's own tools hold their lock files.
class FileLock {
 public:
  /// Makes the file where needed. Throws Error(kResource) when another process holds it, with
  /// `busy` as what is being done, or when it cannot be made.
  FileLock(const std::filesystem::path& path, const std::string& busy);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_;
};

/// Bytes appended to <blob>.incomplete, digested on the way; the blob appears when they are what
/// its name says. Write failures throw Error(kResource); what was written stays.
class PartialFile {
 public:
  /// `digest` as in HubFile; `blob` is the path that the finished file will have. Bytes that an
  /// earlier attempt left are read and digested. `left` always holds the bytes still to come.
  PartialFile(std::filesystem::path blob, std::string digest, uint64_t size,
              std::atomic<uint64_t>& left);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  /// Bytes that are there, at most expected().
  uint64_t size() const { return written_; }
  uint64_t expected() const { return expected_; }
  /// Throws Error(kModel) for more bytes than expected.
  void append(std::span<const std::byte> bytes);
  /// Throws away what is there.
  void restart();
  /// When all bytes are there: true when they have the digest, and the blob is in its place;
  /// otherwise everything is thrown away, to start again.
  bool finish();

 private:
  void read_earlier_bytes();
  void set_written(uint64_t bytes);
  [[noreturn]] void fail(const std::string& what) const;

  std::filesystem::path blob_;
  std::filesystem::path path_;
  std::string digest_;
  uint64_t expected_;
  uint64_t written_ = 0;
  std::atomic<uint64_t>& left_;
  int fd_ = -1;
  std::optional<FileDigest> hash_;
};

}  // namespace gemma4
