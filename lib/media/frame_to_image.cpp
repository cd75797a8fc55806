#include "lib/media/frame_to_image.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lib/base/error.h"
#include "lib/media/ffmpeg_handles.h"

namespace gemma4 {
namespace {

/// A conversion of pixel format at one size, without dithering.
FfmpegPtr<SwsContext> open_scaler(const AVFrame& frame, AVPixelFormat target,
                                  std::string_view name) {
  auto scaler = own_ffmpeg(sws_alloc_context());
  const auto set = [&](const char* option, int64_t value) {
    return av_opt_set_int(scaler.get(), option, value, 0) >= 0;
  };
  const bool is_set =
      set("srcw", frame.width) && set("srch", frame.height) && set("src_format", frame.format) &&
      set("dstw", frame.width) && set("dsth", frame.height) && set("dst_format", target) &&
      set("sws_dither", 0) &&
      set("sws_flags", SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP);
  if (!is_set || sws_init_context(scaler.get(), nullptr, nullptr) < 0) {
    throw_ffmpeg_error("cannot convert the picture to RGB", name);
  }
  return scaler;
}

/// Blends an image whose pixels still have four values on white.
void blend_on_white(Image& image) {
  const size_t pixels = static_cast<size_t>(image.width) * static_cast<size_t>(image.height);
  std::vector<uint8_t>& values = image.rgb;
  for (size_t i = 0; i < pixels; ++i) {
    const uint8_t alpha = values[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      values[3 * i + c] =
          static_cast<uint8_t>((values[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  values.resize(pixels * 3);
}

/// RGB or grey of more than 8 bits a sample: the upper 8 bits, as Pillow takes them. swscale would
/// go through YUV.
Image upper_bytes(const AVFrame& frame, const AVPixFmtDescriptor& description, size_t channels) {
  Image image{frame.width, frame.height, {}};
  const auto width = static_cast<size_t>(frame.width);
  image.rgb.resize(width * static_cast<size_t>(frame.height) * channels);
  const bool is_grey = description.nb_components < 3;
  std::vector<uint16_t> line(width);
  uint8_t* out = image.rgb.data();
  for (int y = 0; y < frame.height; ++y, out += width * channels) {
    for (size_t c = 0; c < channels; ++c) {
      const bool is_alpha = c == 3;
      const int component = is_alpha  ? description.nb_components - 1
                            : is_grey ? 0
                                      : static_cast<int>(c);
      const int shift = std::max(0, description.comp[component].depth - 8);
      av_read_image_line2(line.data(), const_cast<const uint8_t**>(frame.data), frame.linesize,
                          &description, 0, y, component, frame.width, 0, sizeof line[0]);
      for (size_t x = 0; x < width; ++x) {
        out[x * channels + c] = static_cast<uint8_t>(line[x] >> shift);
      }
    }
  }
  return image;
}

/// Everything else, by swscale.
Image scaled(const AVFrame& frame, const AVPixFmtDescriptor& description, size_t channels,
             std::string_view name) {
  const bool is_rgb = (description.flags & AV_PIX_FMT_FLAG_RGB) != 0;
  const auto scaler = open_scaler(frame, channels == 4 ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24, name);
  if (!is_rgb && description.nb_components >= 3) {
    // The deprecated "J" formats mean full range even where the frame does not say so.
    const bool full_range = frame.color_range == AVCOL_RANGE_JPEG ||
                            std::string_view(description.name).starts_with("yuvj");
    const int* matrix = sws_getCoefficients(frame.colorspace);
    sws_setColorspaceDetails(scaler.get(), matrix, full_range, matrix, 1, 0, 1 << 16, 1 << 16);
  }
  const size_t bytes =
      static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height) * channels;
  Image image{frame.width, frame.height, {}};
  // swscale's vector code may write a little past the end of a row: into the next one, which is
  // written later, or into this slack.
  constexpr size_t kSlack = 128;
  image.rgb.resize(bytes + kSlack);
  uint8_t* planes[4] = {image.rgb.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {frame.width * static_cast<int>(channels), 0, 0, 0};
  if (sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides) !=
      frame.height) {
    throw_ffmpeg_error("cannot convert the picture to RGB", name);
  }
  image.rgb.resize(bytes);
  return image;
}

}  // namespace

Image frame_to_image(const AVFrame& frame, AlphaRule alpha, std::string_view name) {
  const auto format = static_cast<AVPixelFormat>(frame.format);
  const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
  if (description == nullptr || frame.width < 1 || frame.height < 1) {
    throw_ffmpeg_error("the picture has no pixels", name);
  }
  const bool has_alpha = (description->flags & AV_PIX_FMT_FLAG_ALPHA) != 0 ||
                         format == AV_PIX_FMT_PAL8;  // a palette may hold transparent colours
  const bool blend = alpha == AlphaRule::kOverWhite && has_alpha;
  const size_t channels = blend ? 4 : 3;
  const bool is_yuv =
      (description->flags & AV_PIX_FMT_FLAG_RGB) == 0 && description->nb_components >= 3;
  const bool is_deep_integer = description->comp[0].depth > 8 && description->comp[0].depth <= 16 &&
                               (description->flags & AV_PIX_FMT_FLAG_FLOAT) == 0;
  Image image = is_deep_integer && !is_yuv ? upper_bytes(frame, *description, channels)
                                           : scaled(frame, *description, channels, name);
  if (blend) blend_on_white(image);
  return image;
}

void check_frame_size(const AVFrame& frame, int64_t max_pixels, std::string_view name) {
  if (int64_t{frame.width} * frame.height <= max_pixels) return;
  throw Error(ErrorKind::kInput,
              fmt::format("the picture has {} x {} pixels", frame.width, frame.height), name,
              fmt::format("at most {} are read (--max-pixels)", max_pixels));
}

Image apply_orientation(Image image, int orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const int w = image.width;
  const int h = image.height;
  const bool swaps_sides = orientation >= 5;
  Image turned{swaps_sides ? h : w, swaps_sides ? w : h, {}};
  turned.rgb.resize(image.rgb.size());
  uint8_t* out = turned.rgb.data();
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x, out += 3) {
      int from_x = swaps_sides ? y : x;
      int from_y = swaps_sides ? x : y;
      if (orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8) {
        from_x = w - 1 - from_x;
      }
      if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) {
        from_y = h - 1 - from_y;
      }
      const uint8_t* in = &image.rgb[(static_cast<size_t>(from_y) * w + from_x) * 3];
      out[0] = in[0];
      out[1] = in[1];
      out[2] = in[2];
    }
  }
  return turned;
}

}  // namespace gemma4
