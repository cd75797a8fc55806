#include "lib/runtime/stop_matcher.h"

#include <algorithm>

namespace gemma4 {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string_view StopMatcher::cut(std::string_view text) const {
  size_t end = text.size();
  for (const std::string& stop : stops_) end = std::min(end, text.find(stop));
  return text.substr(0, end);
}

std::string StopMatcher::push(std::string_view text) {
  if (found_) return {};
  held_ += text;
  const size_t end = cut(held_).size();
  if (end < held_.size()) {
    found_ = true;
    held_.resize(end);
    return std::move(held_);
  }
  // Keep back the longest end of the text that begins a stop.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (held_.compare(held_.size() - n, n, stop, 0, n) == 0) keep = n;
    }
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, out.size());
  return out;
}

std::string StopMatcher::finish() {
  std::string out = std::move(held_);
  held_.clear();
  return out;
}

}  // namespace gemma4
