// One line of progress on stderr, for work that takes longer than half a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace gemma4 {

/// Draws only where stderr is a terminal that redraws, and `enabled`. The line is gone after
/// clear(), and when the object ends.
class Progress {
 public:
  Progress(std::string label, bool enabled);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `total` 0: unknown. `detail` is shown behind the share.
  void update(int64_t done, int64_t total, std::string_view detail = {});
  void clear();

 private:
  using Clock = std::chrono::steady_clock;

  std::string label_;
  bool enabled_;
  bool drawn_ = false;
  Clock::time_point started_ = Clock::now();
  Clock::time_point last_drawn_;
};

}  // namespace gemma4
