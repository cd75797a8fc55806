// Samples a video's frames as RGB images of the size that the model wants.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/media/image.h"
#include "lib/media/image_decode.h"
#include "lib/media/image_patches.h"
#include "lib/media/media_source.h"

namespace gemma4 {

struct VideoOptions {
  int num_frames = 32;  // spread over the whole video; all frames when it has fewer
  double fps = 0.0;     // > 0: so many frames a second instead of num_frames
  int budget = kDefaultVideoFrameBudget;  // soft tokens of a frame
  int64_t max_pixels = kDefaultMaxPixels;
};

/// Most frames that are taken of one video.
inline constexpr int kMaxSampledFrames = 4096;

struct VideoFrames {
  std::vector<Image> frames;            // all of one size, resized to the budget
  std::vector<int64_t> indices;         // of each frame, in the original video
  std::vector<std::string> timestamps;  // of each frame, "mm:ss"
  double fps = 0.0;                     // of the original video
  int64_t total_frames = 0;             // of the original video
};

/// Frames with alpha are blended on white; the rotation that phones write is applied.
/// Throws Error(kInput) for files without video frames, damaged ones or too many pixels, and
/// Error(kUsage) for impossible options.
VideoFrames sample_video(MediaSourcePtr source, const VideoOptions& options = {});

}  // namespace gemma4
