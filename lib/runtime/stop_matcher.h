// Finds stop texts in streamed text, and holds back what may still become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gemma4 {

class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops);

  /// Text that is certain to come before any stop. Once a stop was found nothing more comes.
  std::string push(std::string_view text);
  /// The text that was held back, when the output has ended without a stop.
  std::string finish();

  bool found() const { return found_; }
  /// `text` up to the first stop in it.
  std::string_view cut(std::string_view text) const;

 private:
  std::vector<std::string> stops_;  // none empty
  std::string held_;
  bool found_ = false;
};

}  // namespace gemma4
