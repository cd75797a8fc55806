// The grid that an image's patches form.
#pragma once

#include <cstdint>

#include "lib/model/media_encoder.h"

namespace gemma4 {

struct PatchGrid {
  int64_t columns = 0;
  int64_t rows = 0;

  int64_t count() const { return columns * rows; }
};

/// Checks that the patches are a whole grid, row by row, of at most `max_side` a side, both sides
/// multiples of `multiple`, each of `patch_values` values. Throws Error(kInput) otherwise.
PatchGrid patch_grid(const ImageInput& image, int64_t patch_values, int64_t max_side,
                     int64_t multiple);

}  // namespace gemma4
