// MediaSource: the bytes of one attachment, from a file, a pipe or memory, readable at any offset.
//
// Decoders seek, so bytes that can be read only once (stdin, a FIFO) are first copied to an
// unnamed temporary file ($TMPDIR, else /tmp): a long recording never has to fit in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace gemma4 {

/// Largest attachment that is accepted, in bytes.
inline constexpr uint64_t kDefaultMaxMediaBytes = uint64_t{16} << 30;

class MediaSource {
 public:
  /// Opens a file, or stdin for "-". Throws Error(kInput) when it cannot be read, is a directory,
  /// is empty, or holds more than `max_bytes`.
  static std::shared_ptr<const MediaSource> open(const std::string& path,
                                                 uint64_t max_bytes = kDefaultMaxMediaBytes);

  /// Takes bytes that are already in memory. `name` is used in error messages.
  /// Throws Error(kInput) when there are none.
  static std::shared_ptr<const MediaSource> from_bytes(std::string bytes, std::string name);

  ~MediaSource();
  MediaSource(const MediaSource&) = delete;
  MediaSource& operator=(const MediaSource&) = delete;

  const std::string& name() const { return name_; }
  uint64_t size() const { return size_; }

  /// Copies bytes from `offset` on into `out`. Fewer than asked for only at the end, where it is 0.
  /// Throws Error(kInput) when the disk fails. Safe to call from several threads.
  size_t read_at(uint64_t offset, std::span<uint8_t> out) const;

  /// The first bytes, at most `count`: enough to tell file formats apart.
  std::string head(size_t count) const;

 private:
  MediaSource() = default;

  std::string name_;
  uint64_t size_ = 0;
  int file_ = -1;  // owned; -1: the bytes are in memory_
  std::string memory_;
};

using MediaSourcePtr = std::shared_ptr<const MediaSource>;

}  // namespace gemma4
