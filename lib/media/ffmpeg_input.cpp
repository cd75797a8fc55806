#include "lib/media/ffmpeg_input.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/dict.h>
#include <libavutil/mem.h>
}

#include <algorithm>
#include <new>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/parallel.h"
#include "lib/media/frame_to_image.h"

namespace gemma4 {
namespace {

// Containers that hold their media themselves, by FFmpeg's names.
constexpr char kContainers[] =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,live_flv,ogg,asf,gif,apng,ivf,m4v,"
    "h264,hevc,mp3,aac,ac3,eac3,amr,amrnb,amrwb,wav,w64,flac,aiff,caf,au,ape,tta,wv,mpc,mpc8,dts,"
    "loas,truehd,voc";

int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EACCES);
}

}  // namespace

FfmpegInput::FfmpegInput(MediaSourcePtr source, Kind kind, int64_t max_pixels)
    : source_(std::move(source)) {
  begin_ffmpeg();
  open_container();

  const bool is_audio = kind == Kind::kAudio;
  const int index = av_find_best_stream(
      container_.get(), is_audio ? AVMEDIA_TYPE_AUDIO : AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (index < 0 || (container_->streams[index]->disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) {
    throw Error(ErrorKind::kInput, is_audio ? "the file has no sound" : "the file has no video",
                name());
  }
  for (unsigned i = 0; i < container_->nb_streams; ++i) {
    if (static_cast<int>(i) != index) container_->streams[i]->discard = AVDISCARD_ALL;
  }
  stream_ = container_->streams[index];
  open_decoder(max_pixels);
}

FfmpegInput::~FfmpegInput() = default;

void FfmpegInput::open_container() {
  constexpr int kBufferBytes = 1 << 16;
  auto* buffer = static_cast<uint8_t*>(av_malloc(kBufferBytes));
  if (buffer == nullptr) throw Error(ErrorKind::kResource, "out of memory while decoding media");
  io_ = own_ffmpeg(
      avio_alloc_context(buffer, kBufferBytes, 0, this, &read_bytes, nullptr, &seek_bytes));

  AVFormatContext* context = avformat_alloc_context();
  if (context == nullptr) throw Error(ErrorKind::kResource, "out of memory while decoding media");
  context->pb = io_.get();
  context->io_open = &refuse_to_open;
  context->format_whitelist = av_strdup(kContainers);
  // On failure FFmpeg frees the context itself.
  if (avformat_open_input(&context, nullptr, nullptr, nullptr) < 0) {
    throw_ffmpeg_error("cannot read the media file", name(),
                       "it is damaged, or not in a known format");
  }
  container_.reset(context);
  if (avformat_find_stream_info(container_.get(), nullptr) < 0) {
    throw_ffmpeg_error("cannot read the media file", name(), "it is damaged");
  }
}

void FfmpegInput::open_decoder(int64_t max_pixels) {
  const AVCodec* codec = avcodec_find_decoder(stream_->codecpar->codec_id);
  if (codec == nullptr) {
    throw Error(ErrorKind::kInput, "this FFmpeg cannot decode the file", name(),
                avcodec_get_name(stream_->codecpar->codec_id));
  }
  decoder_ = own_ffmpeg(avcodec_alloc_context3(codec));
  if (avcodec_parameters_to_context(decoder_.get(), stream_->codecpar) < 0) {
    throw_ffmpeg_error("cannot decode the file", name());
  }
  decoder_->pkt_timebase = stream_->time_base;
  decoder_->max_pixels = decoder_pixel_limit(max_pixels);
  decoder_->thread_count = codec->type == AVMEDIA_TYPE_VIDEO ? std::min(num_threads(), 8) : 1;
  if (avcodec_open2(decoder_.get(), codec, nullptr) < 0) {
    throw_ffmpeg_error("cannot decode the file", name(),
                       "it is damaged, or its pictures are too large (--max-pixels)");
  }
  packet_ = own_ffmpeg(av_packet_alloc());
  frame_ = own_ffmpeg(av_frame_alloc());
}

int FfmpegInput::read_bytes(void* self, uint8_t* out, int size) {
  auto& input = *static_cast<FfmpegInput*>(self);
  try {  // an exception must not pass through FFmpeg's frames
    const size_t got = input.source_->read_at(input.offset_, {out, static_cast<size_t>(size)});
    input.offset_ += got;
    return got > 0 ? static_cast<int>(got) : AVERROR_EOF;
  } catch (const std::exception&) {
    return AVERROR(EIO);
  }
}

int64_t FfmpegInput::seek_bytes(void* self, int64_t offset, int whence) {
  auto& input = *static_cast<FfmpegInput*>(self);
  const auto size = static_cast<int64_t>(input.source_->size());
  if ((whence & AVSEEK_SIZE) != 0) return size;
  int64_t base = 0;
  switch (whence & ~AVSEEK_FORCE) {
    case SEEK_SET:
      break;
    case SEEK_CUR:
      base = static_cast<int64_t>(input.offset_);
      break;
    case SEEK_END:
      base = size;
      break;
    default:
      return AVERROR(EINVAL);
  }
  int64_t target = 0;
  if (__builtin_add_overflow(base, offset, &target) || target < 0) return AVERROR(EINVAL);
  input.offset_ = static_cast<uint64_t>(target);
  return target;
}

double FfmpegInput::expected_seconds() const {
  return container_->duration > 0 ? static_cast<double>(container_->duration) / AV_TIME_BASE : 0.0;
}

const AVPacket* FfmpegInput::next_packet() {
  for (;;) {
    av_packet_unref(packet_.get());
    const int status = av_read_frame(container_.get(), packet_.get());
    if (status == AVERROR_EOF) return nullptr;
    if (status == AVERROR(EAGAIN)) continue;
    if (status < 0) throw_ffmpeg_error("the media file is damaged or truncated", name());
    if (packet_->stream_index == stream_->index) return packet_.get();
  }
}

const AVFrame* FfmpegInput::next_frame() {
  for (;;) {
    const int status = avcodec_receive_frame(decoder_.get(), frame_.get());
    if (status == 0) return frame_.get();
    if (status == AVERROR_EOF) return nullptr;
    if (status != AVERROR(EAGAIN)) note_damage();
    if (draining_) return nullptr;

    const AVPacket* packet = next_packet();
    draining_ = packet == nullptr;
    const int sent = avcodec_send_packet(decoder_.get(), packet);
    if (sent < 0 && sent != AVERROR_EOF) note_damage();
  }
}

bool FfmpegInput::seek_to_key_frame(int64_t timestamp) {
  if (avformat_seek_file(container_.get(), stream_->index, INT64_MIN, timestamp, timestamp, 0) <
      0) {
    return false;
  }
  avcodec_flush_buffers(decoder_.get());
  draining_ = false;
  return true;
}

void FfmpegInput::note_damage() {
  if (!damaged_) log_warning("parts of " + printable(name()) + " are damaged and were skipped");
  damaged_ = true;
}

}  // namespace gemma4
