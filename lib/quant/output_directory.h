// A directory that appears whole or not at all.
#pragma once

#include <filesystem>

namespace gemma4 {

/// Files are written below partial(); commit() renames it to its final name. Without commit() the
/// destructor removes it.
class OutputDirectory {
 public:
  /// Creates "<destination>.partial". Throws Error(kUsage) when it or `destination` exists, unless
  /// `replace`: then a left-over partial directory is removed, and `destination`, if it is a
  /// checkpoint or an empty directory, is replaced by commit().
  OutputDirectory(const std::filesystem::path& destination, bool replace);
  ~OutputDirectory();
  OutputDirectory(const OutputDirectory&) = delete;
  OutputDirectory& operator=(const OutputDirectory&) = delete;

  const std::filesystem::path& partial() const { return partial_; }
  /// Throws Error(kResource).
  void commit();

 private:
  std::filesystem::path destination_;
  std::filesystem::path partial_;
  bool committed_ = false;
};

/// Throws Error(kUsage) when one of the two directories is, or lies in, the other.
void require_apart(const std::filesystem::path& source, const std::filesystem::path& destination);

}  // namespace gemma4
