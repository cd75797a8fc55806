#include "lib/media/video_frames.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>
}

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/media/ffmpeg_input.h"
#include "lib/media/frame_to_image.h"
#include "lib/media/image_resize.h"
#include "lib/media/video_sampling.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxVideoFrames = 20'000'000;  // 90 hours at 60 frames a second

double average_fps(const AVStream& stream) {
  for (const AVRational rate : {stream.avg_frame_rate, stream.r_frame_rate}) {
    if (rate.num > 0 && rate.den > 0 && av_q2d(rate) <= 1000.0) return av_q2d(rate);
  }
  return kDefaultVideoFps;
}

/// The container's display matrix, 9 numbers; null: it has none. libavformat 60.15 (FFmpeg 6.1)
/// moved side data from the stream to its codec parameters.
const int32_t* display_matrix(const AVStream& stream) {
  const uint8_t* matrix = nullptr;
  size_t bytes = 0;
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 15, 100)
  const AVCodecParameters& codec = *stream.codecpar;
  if (const AVPacketSideData* side_data = av_packet_side_data_get(
          codec.coded_side_data, codec.nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX)) {
    matrix = side_data->data;
    bytes = side_data->size;
  }
#else
  matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
#endif
  if (bytes < 9 * sizeof(int32_t)) return nullptr;
  return reinterpret_cast<const int32_t*>(matrix);
}

/// The EXIF orientation that undoes the rotation written in a container's display matrix.
int display_orientation(const AVStream& stream) {
  const int32_t* matrix = display_matrix(stream);
  if (matrix == nullptr) return 1;
  const double degrees = av_display_rotation_get(matrix);
  if (!std::isfinite(degrees)) return 1;
  switch ((static_cast<int>(std::lround(-degrees)) % 360 + 360) % 360) {  // clockwise
    case 90:
      return 6;
    case 180:
      return 3;
    case 270:
      return 8;
    default:
      return 1;
  }
}

/// When the frames are shown, in order, and which moments can be decoded from.
struct Timeline {
  int64_t frames = 0;
  std::vector<int64_t> times;      // [frames] ascending, or empty when the file does not tell
  std::vector<int64_t> key_times;  // ascending
};

/// Reads the whole file without decoding it: containers' own frame counts are often missing.
Timeline read_timeline(const MediaSourcePtr& source, const VideoOptions& options) {
  FfmpegInput input(source, FfmpegInput::Kind::kVideo, options.max_pixels);
  Timeline timeline;
  bool has_times = true;
  while (const AVPacket* packet = input.next_packet()) {
    if ((packet->flags & AV_PKT_FLAG_DISCARD) != 0) continue;
    if (++timeline.frames > kMaxVideoFrames) {
      throw Error(ErrorKind::kInput, "the video has too many frames", source->name());
    }
    has_times = has_times && packet->pts != AV_NOPTS_VALUE;
    if (!has_times) continue;
    timeline.times.push_back(packet->pts);
    if ((packet->flags & AV_PKT_FLAG_KEY) != 0) timeline.key_times.push_back(packet->pts);
  }
  std::sort(timeline.times.begin(), timeline.times.end());
  std::sort(timeline.key_times.begin(), timeline.key_times.end());
  const bool ambiguous =
      std::adjacent_find(timeline.times.begin(), timeline.times.end()) != timeline.times.end();
  if (!has_times || ambiguous) timeline.times.clear();
  return timeline;
}

/// Decodes forward to wanted frames, jumping over what need not be decoded.
class FrameFinder {
 public:
  FrameFinder(MediaSourcePtr source, const Timeline& timeline, int64_t max_pixels)
      : source_(std::move(source)), timeline_(timeline), max_pixels_(max_pixels) {
    reopen();
  }

  /// The frame with that index, or the first decodable one after it; null when the video ends
  /// before. Indices must ascend. Valid until the next call.
  const AVFrame* find(int64_t index) {
    if (timeline_.times.empty()) {
      while (decoded_ <= index) {
        if (!advance()) return nullptr;
      }
      return frame_;
    }
    const int64_t wanted = timeline_.times[static_cast<size_t>(index)];
    jump_towards(wanted);
    while (frame_ == nullptr || frame_->best_effort_timestamp < wanted) {
      if (!advance()) return nullptr;
    }
    return frame_;
  }

  const AVStream& stream() const { return input_->stream(); }

 private:
  void reopen() {
    input_ = std::make_unique<FfmpegInput>(source_, FfmpegInput::Kind::kVideo, max_pixels_);
    frame_ = nullptr;
  }

  bool advance() {
    frame_ = input_->next_frame();
    ++decoded_;
    return frame_ != nullptr;
  }

  /// Seeks when a key frame lies between the current frame and the wanted one.
  void jump_towards(int64_t wanted) {
    const auto& keys = timeline_.key_times;
    auto key = std::upper_bound(keys.begin(), keys.end(), wanted);
    if (!can_seek_ || key == keys.begin()) return;
    --key;
    const bool is_ahead =
        frame_ == nullptr ? key != keys.begin() : *key > frame_->best_effort_timestamp;
    if (!is_ahead) return;
    can_seek_ =
        input_->seek_to_key_frame(*key) && advance() && frame_->best_effort_timestamp <= wanted;
    if (!can_seek_) reopen();  // containers like MPEG-TS land too late: decode it all
  }

  MediaSourcePtr source_;
  const Timeline& timeline_;
  int64_t max_pixels_;
  std::unique_ptr<FfmpegInput> input_;
  const AVFrame* frame_ = nullptr;  // the last decoded one, owned by input_
  int64_t decoded_ = 0;             // frames so far; counts only while no jump is made
  bool can_seek_ = true;
};

int64_t frames_wanted(int64_t total, double video_fps, const VideoOptions& options) {
  const int64_t wanted = options.fps > 0 ? frame_count_for_fps(total, video_fps, options.fps)
                                         : std::min<int64_t>(options.num_frames, total);
  if (wanted > kMaxSampledFrames) {
    throw Error(ErrorKind::kUsage, fmt::format("{} video frames asked for", wanted), {},
                fmt::format("at most {} are taken: lower --video-fps", kMaxSampledFrames));
  }
  return wanted;
}

}  // namespace

VideoFrames sample_video(MediaSourcePtr source, const VideoOptions& options) {
  if (options.num_frames < 1 || options.num_frames > kMaxSampledFrames || !(options.fps >= 0.0)) {
    throw Error(ErrorKind::kUsage, "impossible number of video frames", {},
                fmt::format("1 to {}", kMaxSampledFrames));
  }
  const Timeline timeline = read_timeline(source, options);
  if (timeline.frames == 0) {
    throw Error(ErrorKind::kInput, "the video has no frames", source->name());
  }
  FrameFinder finder(source, timeline, options.max_pixels);
  VideoFrames video;
  video.fps = average_fps(finder.stream());
  video.total_frames = timeline.frames;
  const auto indices =
      spread_frames(timeline.frames, frames_wanted(timeline.frames, video.fps, options));
  ImageSize size;
  for (const int64_t index : indices) {
    const AVFrame* frame = finder.find(index);
    if (frame == nullptr) break;
    check_frame_size(*frame, options.max_pixels, source->name());
    Image image = apply_orientation(frame_to_image(*frame, AlphaRule::kOverWhite, source->name()),
                                    display_orientation(finder.stream()));
    if (video.frames.empty()) size = target_size({image.width, image.height}, options.budget);
    video.frames.push_back(resize_bicubic(image, size.width, size.height));
    video.indices.push_back(index);
    video.timestamps.push_back(frame_timestamp(index, video.fps));
  }
  if (video.frames.empty()) {
    throw_ffmpeg_error("no frame of the video could be decoded", source->name(),
                       fmt::format("it is damaged, or has more than {} pixels (--max-pixels)",
                                   options.max_pixels));
  }
  if (video.frames.size() < indices.size()) {
    log_warning(fmt::format("{} is damaged: {} of {} frames were read", printable(source->name()),
                            video.frames.size(), indices.size()));
  }
  return video;
}

}  // namespace gemma4
