// Image: decoded pixels in memory, the form that every picture and video frame takes here.
#pragma once

#include <cstdint>
#include <vector>

namespace gemma4 {

/// 8-bit RGB, rows top to bottom, no padding between rows.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<uint8_t> rgb;  // [height, width, 3]
};

}  // namespace gemma4
