// Where the answer goes: standard output, or a file that appears whole or not at all.
#pragma once

#include <filesystem>
#include <memory>
#include <string_view>

#include "lib/io/atomic_file.h"

namespace gemma4 {

/// Thrown when the reader of standard output has gone: the program ends quietly.
struct ClosedPipe {};

class Output {
 public:
  /// `path` empty, "-" or "/dev/stdout": standard output. Throws Error(kResource) at once for a
  /// file that cannot be written; nothing is created before open().
  explicit Output(std::filesystem::path path = {});

  /// Creates the temporary file. The first write does it too.
  void open();
  /// Unbuffered. Throws ClosedPipe, or Error(kResource) for any other failure.
  void write(std::string_view text);
  /// True when nobody will read what is written.
  bool closed() const;
  /// Makes the file appear. Nothing for standard output.
  void commit();

  /// The stream that a reader may watch; -1 for a file.
  int descriptor() const { return path_.empty() ? 1 : -1; }

 private:
  std::filesystem::path path_;  // empty: standard output
  std::unique_ptr<AtomicFile> file_;
};

}  // namespace gemma4
