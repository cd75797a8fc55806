#include "lib/media/image_decode.h"

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavutil/dict.h>
}

#include <fmt/format.h>

#include <cstdlib>
#include <string_view>

#include "lib/base/error.h"
#include "lib/media/ffmpeg_handles.h"
#include "lib/media/frame_to_image.h"

namespace gemma4 {
namespace {

constexpr uint64_t kMaxImageFileBytes = uint64_t{512} << 20;

AVCodecID image_codec(std::string_view head) {
  const auto starts = [&](std::string_view magic) { return head.starts_with(magic); };
  using namespace std::string_view_literals;
  if (starts("\x89PNG\r\n\x1a\n")) return AV_CODEC_ID_PNG;
  if (starts("\xff\xd8\xff")) return AV_CODEC_ID_MJPEG;
  if (starts("RIFF") && head.substr(8).starts_with("WEBP")) return AV_CODEC_ID_WEBP;
  if (starts("GIF87a") || starts("GIF89a")) return AV_CODEC_ID_GIF;
  if (starts("BM")) return AV_CODEC_ID_BMP;
  if (starts("II*\0"sv) || starts("MM\0*"sv)) return AV_CODEC_ID_TIFF;
  return AV_CODEC_ID_NONE;
}

/// FFmpeg repairs a cut or endless JPEG silently, so both are looked for here: the last scan must
/// be closed by an end marker, and the number of scans is bounded, since each one costs a pass
/// over the whole picture. Entropy-coded data cannot contain either marker.
void check_jpeg_scans(std::string_view bytes, const std::string& name) {
  constexpr int kMaxScans = 500;
  constexpr std::string_view kStartOfScan = "\xff\xda";
  constexpr std::string_view kEndOfImage = "\xff\xd9";
  int scans = 0;
  size_t last_scan = 0;
  for (size_t at = bytes.find(kStartOfScan); at != std::string_view::npos;
       at = bytes.find(kStartOfScan, at + 2)) {
    last_scan = at;
    if (++scans > kMaxScans) {
      throw Error(ErrorKind::kInput, "the JPEG has too many scans", name);
    }
  }
  if (bytes.find(kEndOfImage, last_scan) == std::string_view::npos) {
    throw Error(ErrorKind::kInput, "the JPEG is truncated", name);
  }
}

/// FFmpeg shows what it has of a GIF that is cut. Walks the blocks up to the end of the first
/// image (GIF89a specification, section 12).
void check_gif_is_whole(std::string_view bytes, const std::string& name) {
  const auto byte = [&](size_t at) -> size_t {
    if (at >= bytes.size()) throw Error(ErrorKind::kInput, "the GIF is truncated", name);
    return static_cast<uint8_t>(bytes[at]);
  };
  const auto colour_table_bytes = [](size_t flags) {
    return (flags & 0x80) != 0 ? size_t{6} << (flags & 7) : size_t{0};
  };
  constexpr size_t kExtension = 0x21;
  constexpr size_t kImage = 0x2C;
  size_t at = 13 + colour_table_bytes(byte(10));
  for (;;) {
    const size_t block = byte(at++);
    if (block == kExtension) {
      at += 1;
    } else if (block == kImage) {
      at += 10 + colour_table_bytes(byte(at + 8));
    } else {
      throw Error(ErrorKind::kInput, "the GIF is damaged", name);
    }
    while (const size_t count = byte(at++)) at += count;
    if (block == kImage) return;
  }
}

FfmpegPtr<AVPacket> read_packet(const MediaSource& source) {
  auto packet = own_ffmpeg(av_packet_alloc());
  const auto size = static_cast<int>(source.size());
  if (av_new_packet(packet.get(), size) < 0) {
    throw Error(ErrorKind::kResource, "not enough memory for the image file", source.name());
  }
  if (source.read_at(0, {packet->data, source.size()}) != source.size()) {
    throw Error(ErrorKind::kInput, "the file changed while it was read", source.name());
  }
  return packet;
}

int exif_orientation(const AVFrame& frame) {
  const AVDictionaryEntry* entry = av_dict_get(frame.metadata, "Orientation", nullptr, 0);
  return entry != nullptr ? std::atoi(entry->value) : 1;
}

}  // namespace

Image decode_image(const MediaSource& source, int64_t max_pixels) {
  const AVCodecID id = image_codec(source.head(16));
  if (id == AV_CODEC_ID_NONE) {
    throw Error(ErrorKind::kInput, "not a picture in a known format", source.name(),
                "PNG, JPEG, WebP, GIF, BMP and TIFF are read");
  }
  if (source.size() > kMaxImageFileBytes) {
    throw Error(ErrorKind::kInput, "the image file is too large", source.name(),
                fmt::format("at most {} MiB are accepted", kMaxImageFileBytes >> 20));
  }
  const auto packet = read_packet(source);
  const std::string_view bytes(reinterpret_cast<const char*>(packet->data), source.size());
  if (id == AV_CODEC_ID_MJPEG) check_jpeg_scans(bytes, source.name());
  if (id == AV_CODEC_ID_GIF) check_gif_is_whole(bytes, source.name());

  begin_ffmpeg();
  const AVCodec* codec = avcodec_find_decoder(id);
  if (codec == nullptr) {
    throw Error(ErrorKind::kInput, "this FFmpeg cannot decode the image's format", source.name());
  }
  const auto context = own_ffmpeg(avcodec_alloc_context3(codec));
  context->max_pixels = decoder_pixel_limit(max_pixels);
  context->thread_count = 1;
  // Damage is an error, not something to paint over. In JPEG and TIFF that would also refuse
  // unknown but harmless metadata; there truncation is found by our own check and by FFmpeg's.
  if (id != AV_CODEC_ID_MJPEG && id != AV_CODEC_ID_TIFF) {
    context->err_recognition = AV_EF_CRCCHECK | AV_EF_BITSTREAM | AV_EF_BUFFER | AV_EF_EXPLODE;
  }
  const auto frame = own_ffmpeg(av_frame_alloc());
  if (avcodec_open2(context.get(), codec, nullptr) < 0 ||
      avcodec_send_packet(context.get(), packet.get()) < 0 ||
      avcodec_send_packet(context.get(), nullptr) < 0 ||
      avcodec_receive_frame(context.get(), frame.get()) < 0) {
    throw_ffmpeg_error(
        "cannot decode the image", source.name(),
        fmt::format("it is damaged, or has more than {} pixels (--max-pixels)", max_pixels));
  }
  check_frame_size(*frame, max_pixels, source.name());
  return apply_orientation(frame_to_image(*frame, AlphaRule::kDrop, source.name()),
                           exif_orientation(*frame));
}

}  // namespace gemma4
