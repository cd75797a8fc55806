// Any bytes as a video: four frames of it, or an Error.
#include <cstddef>
#include <cstdint>
#include <string>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/parallel.h"
#include "lib/media/video_frames.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  gemma4::set_log_level(gemma4::LogLevel::kQuiet);
  gemma4::set_num_threads(1);
  gemma4::VideoOptions options;
  options.num_frames = 4;
  options.max_pixels = 1 << 18;
  try {
    const auto source = gemma4::MediaSource::from_bytes(
        std::string(reinterpret_cast<const char*>(data), size), "fuzz");
    gemma4::sample_video(source, options);
  } catch (const gemma4::Error&) {
  }
  return 0;
}
