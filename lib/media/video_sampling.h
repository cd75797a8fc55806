// Which frames of a video the model sees, and when they are: pure arithmetic.
// vision-audio-video.md 5.1, 5.3.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace gemma4 {

/// Frame rate assumed where a file does not say.
inline constexpr double kDefaultVideoFps = 24.0;

/// `count` frames spread over `total`: floor(i * total / count). All frames when there are fewer.
std::vector<int64_t> spread_frames(int64_t total, int64_t count);

/// How many frames are `fps` of them a second, of `total` frames at `video_fps`; at least one,
/// at most all.
int64_t frame_count_for_fps(int64_t total, double video_fps, double fps);

/// "mm:ss" of frame `index`, rounded down; minutes take more digits when they need them.
std::string frame_timestamp(int64_t index, double video_fps);

}  // namespace gemma4
