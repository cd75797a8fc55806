// FfmpegInput: one audio or video stream of a container file, demuxed and decoded by FFmpeg.
//
// Only the bytes of the given source are ever read: formats that refer to other files or to the
// network (playlists, concat scripts) are not on the list of accepted containers, and FFmpeg's
// way to open further files is shut.
#pragma once

#include <cstdint>

#include "lib/media/ffmpeg_handles.h"
#include "lib/media/media_source.h"

struct AVStream;

namespace gemma4 {

class FfmpegInput {
 public:
  enum class Kind { kAudio, kVideo };

  /// Opens the file's best stream of that kind (cover pictures are not video).
  /// Far more than `max_pixels` in a picture are refused; the exact limit is the caller's to check.
  /// Throws Error(kInput) when there is none, or the file cannot be understood.
  FfmpegInput(MediaSourcePtr source, Kind kind, int64_t max_pixels);
  ~FfmpegInput();
  FfmpegInput(const FfmpegInput&) = delete;
  FfmpegInput& operator=(const FfmpegInput&) = delete;

  const AVStream& stream() const { return *stream_; }
  const std::string& name() const { return source_->name(); }

  /// Length as the container states it; 0 when it does not.
  double expected_seconds() const;

  /// The next undecoded packet of the stream, valid until the next call; null at the end.
  /// Throws Error(kInput) when the file is cut short. Not to be mixed with next_frame.
  const AVPacket* next_packet();

  /// The next decoded frame, valid until the next call; null at the end. Packets that cannot be
  /// decoded are skipped, with one warning for all of them.
  const AVFrame* next_frame();

  /// Goes back or forward to the key frame at `timestamp`, in the stream's time base.
  /// False when the container cannot seek. Some land elsewhere: look at the next frame's time.
  bool seek_to_key_frame(int64_t timestamp);

 private:
  static int read_bytes(void* self, uint8_t* out, int size);
  static int64_t seek_bytes(void* self, int64_t offset, int whence);
  void open_container();
  void open_decoder(int64_t max_pixels);
  void note_damage();

  MediaSourcePtr source_;
  uint64_t offset_ = 0;
  FfmpegPtr<AVIOContext> io_;
  FfmpegPtr<AVFormatContext> container_;  // after io_: closed before it
  AVStream* stream_ = nullptr;            // owned by container_
  FfmpegPtr<AVCodecContext> decoder_;
  FfmpegPtr<AVPacket> packet_;
  FfmpegPtr<AVFrame> frame_;
  bool draining_ = false;
  bool damaged_ = false;
};

}  // namespace gemma4
