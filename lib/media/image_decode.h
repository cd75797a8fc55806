// Decodes pictures: PNG, JPEG (also CMYK), WebP, GIF (first frame), BMP, TIFF (first page).
//
// The format is told from the content, never from the file's name. Alpha is dropped, grey and
// palette images become RGB, 16-bit samples 8-bit, and a JPEG's or WebP's EXIF orientation is
// applied.
#pragma once

#include <cstdint>

#include "lib/media/image.h"
#include "lib/media/media_source.h"

namespace gemma4 {

/// Pictures and video frames of more pixels than this are refused; far more, before anything is
/// allocated for them.
inline constexpr int64_t kDefaultMaxPixels = 100'000'000;

/// Throws Error(kInput) for an unknown format, damaged or truncated data, or too many pixels.
Image decode_image(const MediaSource& source, int64_t max_pixels = kDefaultMaxPixels);

}  // namespace gemma4
