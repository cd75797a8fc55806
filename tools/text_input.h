// Text that comes from outside: standard input, files, and values that may be "@FILE".
#pragma once

#include <string>
#include <string_view>

#include "lib/io/json.h"

namespace gemma4 {

/// Reads standard input at most once.
class StandardInput {
 public:
  /// The rest of standard input. Throws Error(kUsage) the second time, Error(kInput) when it cannot
  /// be read or is larger than 256 MiB.
  std::string read();
  bool was_read() const { return was_read_; }
  /// Somebody else will read it. Throws Error(kUsage) when it was read already.
  void give_away();

 private:
  bool was_read_ = false;
};

/// The bytes of a file, a FIFO too; "-" is standard input. Throws Error(kInput).
std::string read_input(const std::string& path, StandardInput& standard_input);

/// `value` itself, or what the file holds when it is "@FILE".
std::string text_or_file(const std::string& value, StandardInput& standard_input);

/// Text with every invalid UTF-8 sequence replaced by U+FFFD, and a warning that names `origin`.
std::string valid_text(std::string text, std::string_view origin);

/// `text` without its last line break: files end in one that is not part of the text.
std::string without_final_newline(std::string text);

/// A JSON file of the user's. Throws Error(kInput).
Json read_json_input(const std::string& path, StandardInput& standard_input);

}  // namespace gemma4
