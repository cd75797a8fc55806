// The digests by which the Hub names the contents of files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace gemma4 {

/// A digest over bytes that come in order.
class FileDigest {
 public:
  /// SHA-256 of the bytes.
  static FileDigest sha256();
  /// git's name of a blob: SHA-1 of "blob SIZE\0" and the bytes, which must be `size` in number.
  static FileDigest git_blob(uint64_t size);

  void update(std::span<const std::byte> bytes);
  /// Lowercase hexadecimal digits. Once, at the end.
  std::string finish();

 private:
  struct Free {
    void operator()(void* context) const;
  };
  explicit FileDigest(const void* algorithm);

  std::unique_ptr<void, Free> context_;
};

}  // namespace gemma4
