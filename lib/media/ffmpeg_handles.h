// What the FFmpeg files of this room share: owning handles, and errors with FFmpeg's own reason.
// No FFmpeg header is included here, so that those stay in .cpp files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

struct AVCodecContext;
struct AVFormatContext;
struct AVFrame;
struct AVIOContext;
struct AVPacket;
struct SwrContext;
struct SwsContext;

namespace gemma4 {

struct FfmpegDeleter {
  void operator()(AVCodecContext* context) const;
  void operator()(AVFormatContext* context) const;
  void operator()(AVFrame* frame) const;
  void operator()(AVIOContext* context) const;  // with its buffer
  void operator()(AVPacket* packet) const;
  void operator()(SwrContext* context) const;
  void operator()(SwsContext* context) const;
};
template <typename T>
using FfmpegPtr = std::unique_ptr<T, FfmpegDeleter>;

/// Keeps FFmpeg from writing to stderr and from allocating more than 1 GiB at once, and forgets
/// the reasons collected so far on this thread. Called before each use of FFmpeg.
void begin_ffmpeg();

/// Throws Error(kInput, what, on, hint) with the first reason FFmpeg gave on this thread since
/// begin_ffmpeg, if any, after `on`.
[[noreturn]] void throw_ffmpeg_error(std::string_view what, std::string_view on,
                                     std::string_view hint = {});

/// `handle` as it is, or Error(kResource) when FFmpeg could not allocate it.
template <typename T>
FfmpegPtr<T> own_ffmpeg(T* handle);

}  // namespace gemma4
