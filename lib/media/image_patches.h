// From an image to the patches that the vision tower or the encoder-free model reads.
//
// An image is stretched to fill its budget of soft tokens with both sides multiples of 48, then
// cut into squares of 16 pixels (tower: 3 x 3 of them are pooled to one soft token) or 48 pixels
// (encoder-free: one soft token each). vision-audio-video.md 1.2, 1.5, 1.7.
#pragma once

#include <cstdint>
#include <vector>

#include "lib/media/image.h"

namespace gemma4 {

inline constexpr int kTowerPatchSize = 16;
inline constexpr int kUnifiedPatchSize = 48;
/// Side of the square of pixels that becomes one soft token, in every model.
inline constexpr int kSoftTokenPixels = 48;

inline constexpr int kImageBudgets[] = {70, 140, 280, 560, 1120};
inline constexpr int kDefaultImageBudget = 280;
inline constexpr int kDefaultVideoFrameBudget = 70;

struct ImageSize {
  int width = 0;
  int height = 0;
  bool operator==(const ImageSize&) const = default;
};

/// The size, in pixels, to which an image of `size` is stretched: the largest multiples of
/// patch_size * pooling whose patches number at most max_patches. Computed in double in the
/// reference's order of operations, whose rounding decides some sizes.
/// Throws Error(kInput) for an empty image or one too elongated for the budget.
ImageSize fit_to_patches(ImageSize size, int patch_size, int max_patches, int pooling);

/// fit_to_patches for a budget of soft tokens. Throws Error(kUsage) unless it is a legal budget.
ImageSize target_size(ImageSize size, int budget);

/// Soft tokens of an image whose sides are multiples of 48: between 1 and the budget.
int soft_token_count(ImageSize target);

/// An image cut into patches, row by row.
struct ImagePatches {
  int patch_size = 0;
  int columns = 0;
  int rows = 0;
  std::vector<uint8_t> pixels;     // [rows * columns, patch_size (y), patch_size (x), 3]
  std::vector<int32_t> positions;  // [rows * columns, 2]: (x, y) in patches

  int64_t count() const { return int64_t{columns} * rows; }
  int soft_tokens() const { return soft_token_count({columns * patch_size, rows * patch_size}); }
};

/// Cuts without resizing. Both sides must be multiples of patch_size (Error(kInternal)).
ImagePatches cut_patches(const Image& image, int patch_size);

/// Resizes to the budget and cuts: all that happens between a decoded image and the model.
ImagePatches prepare_image(const Image& image, int budget, int patch_size);

/// The model's input values: pixel / 255, in [0, 1], in the order of `pixels`.
std::vector<float> patch_values(const ImagePatches& patches);

}  // namespace gemma4
