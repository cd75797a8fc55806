#include "lib/media/image_resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

constexpr int kWeightBits = 22;  // 32 - 8 bits of sample - 2 bits of headroom for overshoot
constexpr double kSupport = 2.0;

double keys_cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

/// For each output position of one axis: the first input position and the weights from there on.
struct AxisWeights {
  int taps = 0;  // room per output position
  std::vector<int> first;
  std::vector<int> count;
  std::vector<int32_t> weights;  // [out, taps]
};

AxisWeights axis_weights(int in_size, int out_size) {
  const double scale = static_cast<double>(in_size) / out_size;
  const double filter_scale = std::max(scale, 1.0);
  const double support = kSupport * filter_scale;
  const double inverse = 1.0 / filter_scale;

  AxisWeights axis;
  axis.taps = static_cast<int>(std::ceil(support)) * 2 + 1;
  axis.first.resize(static_cast<size_t>(out_size));
  axis.count.resize(static_cast<size_t>(out_size));
  axis.weights.resize(static_cast<size_t>(out_size) * static_cast<size_t>(axis.taps));
  std::vector<double> exact(static_cast<size_t>(axis.taps));
  for (int i = 0; i < out_size; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in_size) - first;
    double sum = 0.0;
    for (int j = 0; j < count; ++j) {
      exact[j] = keys_cubic((j + first - center + 0.5) * inverse);
      sum += exact[j];
    }
    int32_t* weights = &axis.weights[static_cast<size_t>(i) * axis.taps];
    for (int j = 0; j < count; ++j) {
      const double scaled = exact[j] / sum * (1 << kWeightBits);
      weights[j] = static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    }
    axis.first[i] = first;
    axis.count[i] = count;
  }
  return axis;
}

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

Image resize_width(const Image& image, int width) {
  const AxisWeights axis = axis_weights(image.width, width);
  Image result{width, image.height, {}};
  const size_t in_row = static_cast<size_t>(image.width) * 3;
  const size_t out_row = static_cast<size_t>(width) * 3;
  result.rgb.resize(out_row * static_cast<size_t>(image.height));
  parallel_ranges(image.height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* in = &image.rgb[static_cast<size_t>(y) * in_row];
      uint8_t* out = &result.rgb[static_cast<size_t>(y) * out_row];
      for (int x = 0; x < width; ++x, out += 3) {
        const int32_t* weights = &axis.weights[static_cast<size_t>(x) * axis.taps];
        const uint8_t* pixel = in + static_cast<size_t>(axis.first[x]) * 3;
        int32_t red = 1 << (kWeightBits - 1), green = red, blue = red;
        for (int j = 0; j < axis.count[x]; ++j, pixel += 3) {
          red += weights[j] * pixel[0];
          green += weights[j] * pixel[1];
          blue += weights[j] * pixel[2];
        }
        out[0] = to_byte(red);
        out[1] = to_byte(green);
        out[2] = to_byte(blue);
      }
    }
  });
  return result;
}

Image resize_height(const Image& image, int height) {
  const AxisWeights axis = axis_weights(image.height, height);
  Image result{image.width, height, {}};
  const size_t row = static_cast<size_t>(image.width) * 3;
  result.rgb.resize(row * static_cast<size_t>(height));
  parallel_ranges(height, 8, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sums(row);
    for (int64_t y = begin; y < end; ++y) {
      const int32_t* weights = &axis.weights[static_cast<size_t>(y) * axis.taps];
      std::fill(sums.begin(), sums.end(), 1 << (kWeightBits - 1));
      for (int j = 0; j < axis.count[y]; ++j) {
        const uint8_t* in = &image.rgb[static_cast<size_t>(axis.first[y] + j) * row];
        for (size_t i = 0; i < row; ++i) sums[i] += weights[j] * in[i];
      }
      std::transform(sums.begin(), sums.end(), &result.rgb[static_cast<size_t>(y) * row], to_byte);
    }
  });
  return result;
}

}  // namespace

Image resize_bicubic(const Image& image, int width, int height) {
  if (image.width < 1 || image.height < 1 || width < 1 || height < 1) {
    throw Error(ErrorKind::kInternal, "cannot resize an empty image");
  }
  if (image.width == width) {
    return image.height == height ? image : resize_height(image, height);
  }
  const Image widened = resize_width(image, width);
  return image.height == height ? widened : resize_height(widened, height);
}

}  // namespace gemma4
