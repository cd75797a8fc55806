#include "lib/media/image_patches.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "lib/base/error.h"
#include "lib/media/image_resize.h"

namespace gemma4 {

ImageSize fit_to_patches(ImageSize size, int patch_size, int max_patches, int pooling) {
  if (size.width < 1 || size.height < 1) throw Error(ErrorKind::kInput, "the image has no pixels");
  const double step = static_cast<double>(patch_size) * pooling;
  const double target_pixels = static_cast<double>(max_patches) * patch_size * patch_size;
  const double height = size.height;
  const double width = size.width;

  const double factor = std::sqrt(target_pixels / (height * width));
  double target_height = std::floor(factor * height / step) * step;
  double target_width = std::floor(factor * width / step) * step;
  // A very elongated image: the short side is one step, the long one what the budget allows.
  const double longest = std::floor(max_patches / (static_cast<double>(pooling) * pooling)) * step;
  if (target_height == 0 && target_width > 0) {
    target_height = step;
    target_width = std::min(std::floor(width / height) * step, longest);
  } else if (target_width == 0 && target_height > 0) {
    target_width = step;
    target_height = std::min(std::floor(height / width) * step, longest);
  }
  if (target_height == 0 || target_width == 0 || target_height * target_width > target_pixels) {
    throw Error(ErrorKind::kInput, "the image does not fit the token budget",
                fmt::format("{}x{}", size.width, size.height));
  }
  return {static_cast<int>(target_width), static_cast<int>(target_height)};
}

ImageSize target_size(ImageSize size, int budget) {
  if (std::find(std::begin(kImageBudgets), std::end(kImageBudgets), budget) ==
      std::end(kImageBudgets)) {
    throw Error(ErrorKind::kUsage, "no such image token budget", std::to_string(budget),
                "use 70, 140, 280, 560 or 1120");
  }
  constexpr int kPooling = kSoftTokenPixels / kTowerPatchSize;
  return fit_to_patches(size, kTowerPatchSize, budget * kPooling * kPooling, kPooling);
}

int soft_token_count(ImageSize target) {
  return (target.width / kSoftTokenPixels) * (target.height / kSoftTokenPixels);
}

ImagePatches cut_patches(const Image& image, int patch_size) {
  if (image.width < 1 || image.height < 1 || image.width % patch_size != 0 ||
      image.height % patch_size != 0) {
    throw Error(ErrorKind::kInternal, "image sides are not multiples of the patch size",
                fmt::format("{}x{}", image.width, image.height));
  }
  ImagePatches patches{patch_size, image.width / patch_size, image.height / patch_size, {}, {}};
  patches.pixels.reserve(image.rgb.size());
  patches.positions.reserve(static_cast<size_t>(patches.count()) * 2);
  const size_t run = static_cast<size_t>(patch_size) * 3;
  for (int row = 0; row < patches.rows; ++row) {
    for (int column = 0; column < patches.columns; ++column) {
      patches.positions.insert(patches.positions.end(), {column, row});
      for (int y = 0; y < patch_size; ++y) {
        const auto begin =
            image.rgb.begin() +
            ((int64_t{row} * patch_size + y) * image.width + int64_t{column} * patch_size) * 3;
        patches.pixels.insert(patches.pixels.end(), begin, begin + static_cast<ptrdiff_t>(run));
      }
    }
  }
  return patches;
}

ImagePatches prepare_image(const Image& image, int budget, int patch_size) {
  const ImageSize target = target_size({image.width, image.height}, budget);
  return cut_patches(resize_bicubic(image, target.width, target.height), patch_size);
}

std::vector<float> patch_values(const ImagePatches& patches) {
  std::vector<float> values(patches.pixels.size());
  std::transform(patches.pixels.begin(), patches.pixels.end(), values.begin(),
                 [](uint8_t pixel) { return static_cast<float>(pixel / 255.0); });
  return values;
}

}  // namespace gemma4
