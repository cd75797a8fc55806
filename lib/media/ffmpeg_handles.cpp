#include "lib/media/ffmpeg_handles.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libswresample/swresample.h>
#include <libswscale/swscale.h>
}

#include <fmt/format.h>

#include <cstdarg>
#include <mutex>
#include <new>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

// FFmpeg tells its reasons ("Picture size 100000x100000 is invalid") through a log callback of
// the whole process and nowhere else. The first one of an operation is kept for the error.
std::string& first_reason() {
  thread_local std::string reason;
  return reason;
}

void keep_reason(void* object, int level, const char* format, va_list arguments) noexcept {
  if (level > AV_LOG_ERROR || !first_reason().empty()) return;
  char line[256];
  int print_prefix = 0;
  av_log_format_line2(nullptr, level, format, arguments, line, sizeof line, &print_prefix);
  const AVClass* type = object != nullptr ? *static_cast<AVClass**>(object) : nullptr;
  const char* part = type != nullptr ? type->item_name(object) : "ffmpeg";
  try {
    first_reason() = fmt::format("{}: {}", part, line);
    while (!first_reason().empty() && first_reason().back() == '\n') first_reason().pop_back();
  } catch (const std::bad_alloc&) {
    first_reason().clear();
  }
}

}  // namespace

void FfmpegDeleter::operator()(AVCodecContext* context) const { avcodec_free_context(&context); }
void FfmpegDeleter::operator()(AVFormatContext* context) const { avformat_close_input(&context); }
void FfmpegDeleter::operator()(AVFrame* frame) const { av_frame_free(&frame); }
void FfmpegDeleter::operator()(AVIOContext* context) const {
  av_freep(&context->buffer);
  avio_context_free(&context);
}
void FfmpegDeleter::operator()(AVPacket* packet) const { av_packet_free(&packet); }
void FfmpegDeleter::operator()(SwrContext* context) const { swr_free(&context); }
void FfmpegDeleter::operator()(SwsContext* context) const { sws_freeContext(context); }

void begin_ffmpeg() {
  static std::once_flag once;
  std::call_once(once, [] {
    av_log_set_callback(keep_reason);
    av_max_alloc(size_t{1} << 30);
  });
  first_reason().clear();
}

void throw_ffmpeg_error(std::string_view what, std::string_view on, std::string_view hint) {
  const std::string& reason = first_reason();
  throw Error(ErrorKind::kInput, what,
              reason.empty() ? std::string(on) : fmt::format("{} ({})", on, reason), hint);
}

template <typename T>
FfmpegPtr<T> own_ffmpeg(T* handle) {
  if (handle == nullptr) throw Error(ErrorKind::kResource, "out of memory while decoding media");
  return FfmpegPtr<T>(handle);
}

template FfmpegPtr<AVCodecContext> own_ffmpeg(AVCodecContext*);
template FfmpegPtr<AVFrame> own_ffmpeg(AVFrame*);
template FfmpegPtr<AVIOContext> own_ffmpeg(AVIOContext*);
template FfmpegPtr<AVPacket> own_ffmpeg(AVPacket*);
template FfmpegPtr<SwrContext> own_ffmpeg(SwrContext*);
template FfmpegPtr<SwsContext> own_ffmpeg(SwsContext*);

}  // namespace gemma4
