#include "lib/media/video_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gemma4 {

std::vector<int64_t> spread_frames(int64_t total, int64_t count) {
  std::vector<int64_t> indices(static_cast<size_t>(std::clamp<int64_t>(count, 0, total)));
  const auto taken = static_cast<int64_t>(indices.size());
  for (int64_t i = 0; i < taken; ++i) indices[static_cast<size_t>(i)] = i * total / taken;
  return indices;
}

int64_t frame_count_for_fps(int64_t total, double video_fps, double fps) {
  const double count = std::trunc(static_cast<double>(total) / video_fps * fps);
  if (!(count >= 1.0)) return std::min<int64_t>(1, total);
  return count >= static_cast<double>(total) ? total : static_cast<int64_t>(count);
}

std::string frame_timestamp(int64_t index, double video_fps) {
  const auto seconds = static_cast<int64_t>(static_cast<double>(index) / video_fps);
  return fmt::format("{:02}:{:02}", seconds / 60, seconds % 60);
}

}  // namespace gemma4
