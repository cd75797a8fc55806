// The one exception type of the library, and the exit code that each kind means.
//
// An Error says what failed, on which file or tensor, and what to do about it. It is thrown
// anywhere in lib/ and kernels/, and caught once, in main, which prints it as one line.
#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace gemma4 {

/// What went wrong, as the user must tell it apart. The value is the process's exit code.
enum class ErrorKind : int {
  kInternal = 1,    // internal or device failure
  kUsage = 2,       // bad flag, impossible combination
  kModel = 3,       // model not found, unsupported, corrupt
  kInput = 4,       // unreadable input, missing modality, does not fit the context
  kResource = 5,    // plan does not fit memory, no such device, disk full
  kAnswer = 6,      // answer unusable
  kRegression = 7,  // bench --baseline
};

class Error : public std::exception {
 public:
  /// `what_failed`: "cannot read tensor"; `on`: the file, tensor or flag; `hint`: what to do.
  /// `on` and `hint` may be empty. Control characters are replaced, so that the message is one
  /// line.
  Error(ErrorKind kind, std::string_view what_failed, std::string_view on = {},
        std::string_view hint = {});

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }
  /// "what failed: on what; what to do"
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  ErrorKind kind_;
  std::string message_;
};

/// Replaces control characters by '?' and cuts text longer than `max_bytes`, on a character
/// boundary: for names that come from files and are shown in messages.
std::string printable(std::string_view text, size_t max_bytes = 400);

}  // namespace gemma4
