// Resizes images exactly as Pillow's 8-bit bicubic filter does.
//
// Separable Keys filter with a = -0.5, support widened when shrinking, weights in 22-bit fixed
// point, horizontal pass first with an 8-bit intermediate (Pillow, src/libImaging/Resample.c;
// vision-audio-video.md 1.3). The models were served through this filter, so its rounding and
// clamping between the passes are part of the result.
#pragma once

#include "lib/media/image.h"

namespace gemma4 {

/// A new image of `width` x `height` pixels (both >= 1). An axis that keeps its size is copied.
/// Throws Error(kInternal) for an empty input or target.
Image resize_bicubic(const Image& image, int width, int height);

}  // namespace gemma4
