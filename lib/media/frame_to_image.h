// From FFmpeg's many pixel formats to 8-bit RGB, for pictures and video frames alike.
#pragma once

#include <cstdint>
#include <string_view>

#include "lib/media/image.h"

struct AVFrame;

namespace gemma4 {

enum class AlphaRule {
  kDrop,       // images: the colour as stored, whatever its alpha
  kOverWhite,  // video frames: blended on white
};

/// Converts a decoded frame; colour matrix and range are those the frame names.
/// Throws Error(kInput), naming `name`, for a pixel format that cannot be converted.
Image frame_to_image(const AVFrame& frame, AlphaRule alpha, std::string_view name);

/// Throws Error(kInput), naming `name`, for a frame of more than `max_pixels`.
void check_frame_size(const AVFrame& frame, int64_t max_pixels, std::string_view name);

/// The limit to give to a decoder, which refuses larger pictures before it allocates. It counts
/// the rows and columns that are added for alignment, so that it must be a little higher.
constexpr int64_t decoder_pixel_limit(int64_t max_pixels) {
  constexpr int64_t kMost = int64_t{1} << 40;
  const int64_t bounded = max_pixels < kMost ? max_pixels : kMost;
  return bounded + bounded / 4 + (1 << 20);
}

/// Turns a picture upright. `orientation` is the EXIF tag's value, 1 to 8; any other is ignored.
Image apply_orientation(Image image, int orientation);

}  // namespace gemma4
