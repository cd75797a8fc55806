// Patterns over module names, as `ignore` and `targets` of compressed-tensors write them.
#pragma once

#include <optional>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/error.h"

namespace gemma4 {

/// A regular expression from a file or a flag, with a bound on its cost: matching takes time
/// proportional to pattern times name, and patterns that could grow without bound (longer than
/// 1000 bytes, counted repetition) are refused.
class BoundedRegex {
 public:
  /// `origin` names the place in errors. Throws Error(kind) for a pattern that is refused.
  BoundedRegex(const std::string& pattern, std::string_view origin,
               ErrorKind kind = ErrorKind::kModel);

  /// Anchored at the start only, like Python's re.match.
  bool matches_start(std::string_view name) const;
  /// The earliest position at which it matches.
  std::optional<size_t> search(std::string_view name) const;

 private:
  std::regex regex_;
};

/// "re:..." is a regular expression anchored at the start; anything else is a name to be equal to.
class ModulePattern {
 public:
  ModulePattern(std::string text, std::string_view origin, ErrorKind kind = ErrorKind::kModel);

  bool matches(std::string_view module) const;
  const std::string& text() const { return text_; }

 private:
  std::string text_;
  std::optional<BoundedRegex> regex_;
  std::string contained_;  // of "re:.*name.*", by far the most frequent kind: what to look for
};

/// `text` with every character that means something in a regular expression escaped.
std::string regex_escaped(std::string_view text);

}  // namespace gemma4
