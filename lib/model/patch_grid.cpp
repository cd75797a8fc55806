#include "lib/model/patch_grid.h"

#include <algorithm>
#include <string>

#include "lib/base/error.h"

namespace gemma4 {

PatchGrid patch_grid(const ImageInput& image, int64_t patch_values, int64_t max_side,
                     int64_t multiple) {
  const auto count = static_cast<int64_t>(image.positions.size() / 2);
  const auto fail = [](const std::string& what) {
    throw Error(ErrorKind::kInput, "unusable image", what);
  };
  if (count == 0 || image.positions.size() % 2 != 0) fail("it has no patches");
  if (static_cast<int64_t>(image.patches.size()) / patch_values != count ||
      static_cast<int64_t>(image.patches.size()) % patch_values != 0) {
    fail("its pixels and positions differ in number");
  }
  PatchGrid grid;
  for (int64_t i = 0; i < count; ++i) {
    grid.columns = std::max<int64_t>(grid.columns, image.positions[static_cast<size_t>(2 * i)] + 1);
  }
  if (grid.columns == 0 || count % grid.columns != 0) fail("its patches are no grid");
  grid.rows = count / grid.columns;
  for (int64_t i = 0; i < count; ++i) {
    if (image.positions[static_cast<size_t>(2 * i)] != i % grid.columns ||
        image.positions[static_cast<size_t>(2 * i + 1)] != i / grid.columns) {
      fail("its patches are no grid");
    }
  }
  if (grid.columns % multiple != 0 || grid.rows % multiple != 0) {
    fail("its sides are no multiples of " + std::to_string(multiple) + " patches");
  }
  if (grid.columns > max_side || grid.rows > max_side) {
    fail(std::to_string(grid.columns) + " x " + std::to_string(grid.rows) +
         " patches, the model takes " + std::to_string(max_side) + " a side");
  }
  return grid;
}

}  // namespace gemma4
