#include "tools/progress.h"

#include <fmt/format.h>

#include <cstdio>

#include "tools/terminal.h"

namespace gemma4 {
namespace {

constexpr std::chrono::milliseconds kDelay{500};
constexpr std::chrono::milliseconds kInterval{100};

std::string duration(double seconds) {
  if (seconds < 100.0) return fmt::format("{:.0f} s", seconds);
  return fmt::format("{:.0f} min", seconds / 60.0);
}

}  // namespace

Progress::Progress(std::string label, bool enabled)
    : label_(std::move(label)), enabled_(enabled && redraws(2)) {}

void Progress::update(int64_t done, int64_t total, std::string_view detail) {
  if (!enabled_) return;
  const auto now = Clock::now();
  if (now - started_ < kDelay || now - last_drawn_ < kInterval) return;
  last_drawn_ = now;
  drawn_ = true;
  std::string line = label_;
  if (total > 0) {
    line += fmt::format(
        " {}%", static_cast<int>(100.0 * static_cast<double>(done) / static_cast<double>(total)));
    if (!detail.empty()) line += fmt::format(", {}", detail);
    const double elapsed = std::chrono::duration<double>(now - started_).count();
    if (done > 0 && done < total) {
      const double left = elapsed * static_cast<double>(total - done) / static_cast<double>(done);
      line += ", " + duration(left) + " left";
    }
  } else if (done > 0) {
    line += fmt::format(" {}", done);
  }
  std::fputs(("\r\033[K" + line).c_str(), stderr);
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace gemma4
