#include "lib/media/frame_to_image.h"

extern "C" {
#include <libavutil/frame.h>
#include <libavutil/opt.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>
}

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
      set("sws_flags",
          SWS_BILINEAR | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT | SWS_FULL_CHR_H_INP);
  if (!is_set || sws_init_context(scaler.get(), nullptr, nullptr) < 0) {
    throw_ffmpeg_error("cannot convert the picture to RGB", name);
  }
  return scaler;
}

/// Blends [pixels, 4] on white into [pixels, 3], in place from the front.
void blend_on_white(std::vector<uint8_t>& rgba, size_t pixels) {
  for (size_t i = 0; i < pixels; ++i) {
    const uint8_t alpha = rgba[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      rgba[3 * i + c] =
          static_cast<uint8_t>((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
}

}  // namespace

Image frame_to_image(const AVFrame& frame, AlphaRule alpha, std::string_view name) {
  const auto format = static_cast<AVPixelFormat>(frame.format);
  const AVPixFmtDescriptor* description = av_pix_fmt_desc_get(format);
  if (description == nullptr || frame.width < 1 || frame.height < 1) {
    throw_ffmpeg_error("the picture has no pixels", name);
  }
  const bool is_rgb = (description->flags & AV_PIX_FMT_FLAG_RGB) != 0;
  const bool has_alpha = (description->flags & AV_PIX_FMT_FLAG_ALPHA) != 0 ||
                         format == AV_PIX_FMT_PAL8;  // a palette may hold transparent colours
  const bool blend = alpha == AlphaRule::kOverWhite && has_alpha;
  const size_t channels = blend ? 4 : 3;

  const auto scaler = open_scaler(frame, blend ? AV_PIX_FMT_RGBA : AV_PIX_FMT_RGB24, name);
  if (!is_rgb && description->nb_components >= 3) {
    // The deprecated "J" formats mean full range even where the frame does not say so.
    const bool full_range = frame.color_range == AVCOL_RANGE_JPEG ||
                            std::string_view(description->name).starts_with("yuvj");
    const int* matrix = sws_getCoefficients(frame.colorspace);
    sws_setColorspaceDetails(scaler.get(), matrix, full_range, matrix, 1, 0, 1 << 16, 1 << 16);
  }

  const size_t pixels = static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height);
  Image image{frame.width, frame.height, {}};
  // swscale's vector code may write a little past the end of a row: into the next one, which is
  // written later, or into this slack.
  constexpr size_t kSlack = 128;
  image.rgb.resize(pixels * channels + kSlack);
  uint8_t* planes[4] = {image.rgb.data(), nullptr, nullptr, nullptr};
  const int strides[4] = {frame.width * static_cast<int>(channels), 0, 0, 0};
  if (sws_scale(scaler.get(), frame.data, frame.linesize, 0, frame.height, planes, strides) !=
      frame.height) {
    throw_ffmpeg_error("cannot convert the picture to RGB", name);
  }
  if (blend) blend_on_white(image.rgb, pixels);
  image.rgb.resize(pixels * 3);
  return image;
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
