// From FFmpeg's many pixel formats to 8-bit RGB, for pictures and video frames alike.
#pragma once

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

/// Turns a picture upright. `orientation` is the EXIF tag's value, 1 to 8; any other is ignored.
Image apply_orientation(Image image, int orientation);

}  // namespace gemma4
