#include "lib/quant/quantize.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <span>
#include <vector>

#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/quant/grid.h"
#include "lib/quant/rounding.h"

namespace gemma4 {
namespace {

/// Weights that are worth a thread of their own.
constexpr int64_t kThreadWork = 64 << 10;
/// One row in so many is looked at for a grid first, and all only when so many groups were on one.
constexpr int64_t kSampledRows = 16;
constexpr double kWorthCounting = 0.5;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Element type T of the weights: how to widen one, and to round to it.
struct Bf16Type {
  using Stored = Bf16;
  static constexpr Dtype kDtype = Dtype::kBf16;
  // Values are finite here, so that the NaN branch of to_bf16 would only cost speed.
  static float round(float value) {
    uint32_t bits = std::bit_cast<uint32_t>(value);
    bits += 0x7FFFu + ((bits >> 16) & 1u);
    return std::bit_cast<float>(bits & 0xFFFF0000u);
  }
  static float widen(Bf16 value) { return to_float(value); }
  static Bf16 narrow(float value) { return to_bf16(value); }
};
struct F16Type {
  using Stored = F16;
  static constexpr Dtype kDtype = Dtype::kF16;
  static float round(float value) { return to_float(to_f16(value)); }
  static float widen(F16 value) { return to_float(value); }
  static F16 narrow(float value) { return to_f16(value); }
};
struct F32Type {
  using Stored = float;
  static constexpr Dtype kDtype = Dtype::kF32;
  static float round(float value) { return value; }
  static float widen(float value) { return value; }
  static float narrow(float value) { return value; }
};

struct GroupScale {
  float scale;
  int zero_point;
};

/// Like std::clamp, in a form that becomes two instructions of a vector unit.
inline float clamped(float value, float lo, float hi) {
  const float above = value < lo ? lo : value;
  return above > hi ? hi : above;
}

/// The min-max rule for one group; codes[group.size()].
template <typename T>
GroupScale quantize_group(std::span<const float> group, int bits, bool symmetric, int8_t* codes) {
  const auto qmin = static_cast<float>(-(1 << (bits - 1)));
  const auto qmax = static_cast<float>((1 << (bits - 1)) - 1);
  const auto steps = static_cast<float>((1 << bits) - 1);
  const float* values = group.data();
  const size_t count = group.size();
  float lo = 0.0f;
  float hi = 0.0f;
#pragma omp simd reduction(min : lo) reduction(max : hi)
  for (size_t i = 0; i < count; ++i) {
    lo = values[i] < lo ? values[i] : lo;
    hi = values[i] > hi ? values[i] : hi;
  }
  if (symmetric) {
    float scale = T::round(std::max(-lo, hi) / (steps / 2.0f));
    if (scale == 0.0f) scale = epsilon_of(T::kDtype);
#pragma omp simd
    for (size_t i = 0; i < count; ++i) {
      const float code = round_half_even(clamped(T::round(values[i] / scale), qmin, qmax));
      codes[i] = static_cast<int8_t>(static_cast<int>(code));
    }
    return {scale, 0};
  }
  float scale = T::round(T::round(hi - lo) / steps);
  float zero_point = 0.0f;  // also of a group of zeros
  if (scale == 0.0f) {
    scale = epsilon_of(T::kDtype);
  } else {
    zero_point = round_half_even(clamped(T::round(qmin - T::round(lo / scale)), qmin, qmax));
  }
  for (size_t i = 0; i < count; ++i) {
    const float shifted = T::round(T::round(values[i] / scale) + zero_point);
    codes[i] = static_cast<int8_t>(round_half_even(clamped(shifted, qmin, qmax)));
  }
  return {scale, static_cast<int>(zero_point)};
}

/// Sum of squares of values - (codes - zero_point) * scale.
float square_error(std::span<const float> group, const int8_t* codes, const GroupScale& chosen) {
  const float* values = group.data();
  const size_t count = group.size();
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < count; ++i) {
    const int offset = codes[i] - chosen.zero_point;
    const float error = values[i] - static_cast<float>(offset) * chosen.scale;
    sum += error * error;
  }
  return sum;
}

/// Codes to offset binary, low bits first; bits after the last code stay 0.
template <int Bits>
void pack_offset_binary(const int8_t* codes, int64_t count, uint8_t* packed) {
  constexpr int kPerByte = 8 / Bits;
  constexpr int kOffset = 1 << (Bits - 1);
  const int64_t whole = count / kPerByte;
#pragma omp simd
  for (int64_t byte = 0; byte < whole; ++byte) {
    int bits = 0;
    for (int j = 0; j < kPerByte; ++j) {
      bits |= (codes[byte * kPerByte + j] + kOffset) << (j * Bits);
    }
    packed[byte] = static_cast<uint8_t>(bits);
  }
  for (int64_t k = whole * kPerByte; k < count; ++k) {
    packed[whole] = static_cast<uint8_t>(
        packed[whole] | (codes[k] + kOffset) << (static_cast<int>(k % kPerByte) * Bits));
  }
}

/// What the owner pointer of a quantised matrix holds.
struct OwnedBytes {
  std::vector<uint8_t> codes;
  std::vector<std::byte> scales;
  std::vector<uint32_t> zero_points;
};

template <typename T>
class Quantizer {
 public:
  Quantizer(const Tensor& weight, const QuantizeFormat& format, const std::string& name)
      : weight_(weight),
        format_(format),
        name_(name),
        rows_(weight.shape[0]),
        cols_(weight.shape[1]),
        group_size_(format.group_size == 0 ? cols_ : std::min(format.group_size, cols_)),
        groups_(cols_ / group_size_) {}

  QuantizeResult run() {
    QuantizeResult result;
    if (may_have_grid()) {
      // Weights that were not trained on a grid show it in a few rows.
      result.on_grid = grid_share(kSampledRows);
      if (result.on_grid > kWorthCounting) result.on_grid = grid_share(1);
      use_grid_ = result.on_grid >= kGridShare;
    }
    if (format_.rule == RoundingRule::kGrid && !use_grid_) {
      throw Error(ErrorKind::kModel, "weights do not lie on a 4-bit grid of groups of 32", name_,
                  "only a QAT checkpoint's do; use --rule auto or minmax");
    }
    result.used_grid = use_grid_;

    auto owned = std::make_shared<OwnedBytes>();
    auto matrix = std::make_shared<QuantizedMatrix>();
    matrix->rows = rows_;
    matrix->cols = cols_;
    matrix->bits = format_.bits;
    matrix->row_bytes = static_cast<size_t>(divide_up(cols_ * format_.bits, 32) * 4);
    matrix->group_size = group_size_;
    matrix->scale_dtype = T::kDtype;
    owned->codes.resize(static_cast<size_t>(rows_) * matrix->row_bytes);
    owned->scales.resize(static_cast<size_t>(rows_ * groups_) * sizeof(typename T::Stored));
    matrix->codes = owned->codes.data();
    matrix->scales = owned->scales.data();
    if (!format_.symmetric) {
      owned->zero_points.resize(static_cast<size_t>(divide_up(rows_ * format_.bits, 32) * groups_));
      matrix->zero_point_packing = ZeroPointPacking::kPackedRows;
      matrix->zero_points = owned->zero_points.data();
    }
    std::vector<double> squares(static_cast<size_t>(rows_));  // per row, summed in order below
    std::vector<double> errors(static_cast<size_t>(rows_));
    parallel_ranges(rows_, row_grain(), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(cols_));
      std::vector<int8_t> codes(static_cast<size_t>(cols_));
      for (int64_t row = begin; row < end; ++row) {
        const auto index = static_cast<size_t>(row);
        squares[index] = load_row(row, values);
        errors[index] = quantize_row(row, values, codes, *owned);
        pack_row(codes, owned->codes.data() + index * matrix->row_bytes);
      }
    });
    double square = 0.0;
    double error = 0.0;
    for (size_t row = 0; row < squares.size(); ++row) {
      square += squares[row];
      error += errors[row];
    }
    result.squares = square;
    result.relative_error = square > 0.0 ? std::sqrt(error / square) : 0.0;
    matrix->owner = std::move(owned);
    result.matrix = std::move(matrix);
    return result;
  }

 private:
  /// Rows that one thread takes at once; multiples of 32 end on whole zero-point words.
  int64_t row_grain() const { return divide_up(divide_up(kThreadWork, cols_), 32) * 32; }

  bool may_have_grid() const {
    return format_.rule != RoundingRule::kMinMax && format_.bits == 4 && format_.symmetric &&
           kGridGroup % group_size_ == 0;
  }

  /// Widens a row and returns its sum of squares.
  float load_row(int64_t row, std::vector<float>& values) const {
    const auto* source = static_cast<const std::byte*>(weight_.data) +
                         row * cols_ * int64_t{sizeof(typename T::Stored)};
    float* out = values.data();
    float check = 0.0f;  // stays 0 unless a value is NaN or infinite
    float squares = 0.0f;
#pragma omp simd reduction(+ : check, squares)
    for (int64_t k = 0; k < cols_; ++k) {
      typename T::Stored stored;
      std::memcpy(&stored, source + k * int64_t{sizeof(stored)}, sizeof(stored));
      const float value = T::widen(stored);
      out[k] = value;
      check += value * 0.0f;
      squares += value * value;
    }
    if (check != 0.0f) {  // NaN is not equal to anything
      throw Error(ErrorKind::kModel, "a weight is NaN or infinite", name_,
                  "row " + std::to_string(row) + "; the checkpoint is damaged");
    }
    return squares;
  }

  /// The share of groups on a grid, in every `stride`-th row.
  double grid_share(int64_t stride) const {
    std::atomic<int64_t> on_grid = 0;
    const int64_t samples = divide_up(rows_, stride);
    parallel_ranges(samples, row_grain(), [&](int64_t begin, int64_t end) {
      std::vector<float> values(static_cast<size_t>(cols_));
      std::vector<int8_t> codes(static_cast<size_t>(group_size_));
      int64_t found = 0;
      for (int64_t sample = begin; sample < end; ++sample) {
        load_row(sample * stride, values);
        for (int64_t group = 0; group < groups_; ++group) {
          found += find_grid_step(group_of(values, group), T::kDtype, codes) != 0.0f;
        }
      }
      on_grid += found;
    });
    return static_cast<double>(on_grid) / static_cast<double>(samples * groups_);
  }

  std::span<const float> group_of(const std::vector<float>& values, int64_t group) const {
    return {values.data() + group * group_size_, static_cast<size_t>(group_size_)};
  }

  /// Fills the row's codes, scales and zero points; returns its sum of squared errors.
  double quantize_row(int64_t row, const std::vector<float>& values, std::vector<int8_t>& codes,
                      OwnedBytes& owned) const {
    double error = 0.0;
    for (int64_t group = 0; group < groups_; ++group) {
      const std::span<const float> x = group_of(values, group);
      const std::span<int8_t> q{codes.data() + group * group_size_, x.size()};
      GroupScale chosen{0.0f, 0};
      if (use_grid_) chosen.scale = find_grid_step(x, T::kDtype, q);
      if (chosen.scale == 0.0f) {
        chosen = quantize_group<T>(x, format_.bits, format_.symmetric, q.data());
      }
      if (!std::isfinite(chosen.scale)) {
        throw Error(ErrorKind::kModel, "weights are too large to be quantised", name_,
                    "row " + std::to_string(row));
      }
      const typename T::Stored stored = T::narrow(chosen.scale);
      std::memcpy(owned.scales.data() + (row * groups_ + group) * int64_t{sizeof(stored)}, &stored,
                  sizeof(stored));
      if (!format_.symmetric) {
        const int64_t bit = row * format_.bits;
        const auto code = static_cast<uint32_t>(chosen.zero_point + (1 << (format_.bits - 1)));
        owned.zero_points[static_cast<size_t>(bit / 32 * groups_ + group)] |= code << (bit % 32);
      }
      error += square_error(x, q.data(), chosen);
    }
    return error;
  }

  void pack_row(const std::vector<int8_t>& codes, uint8_t* packed) const {
    if (format_.bits == 2) {
      pack_offset_binary<2>(codes.data(), cols_, packed);
    } else if (format_.bits == 4) {
      pack_offset_binary<4>(codes.data(), cols_, packed);
    } else {
      pack_offset_binary<8>(codes.data(), cols_, packed);
    }
  }

  const Tensor& weight_;
  const QuantizeFormat& format_;
  const std::string& name_;
  int64_t rows_;
  int64_t cols_;
  int64_t group_size_;
  int64_t groups_;
  bool use_grid_ = false;
};

}  // namespace

QuantizeResult quantize(const Tensor& weight, const QuantizeFormat& format,
                        const std::string& name) {
  if (weight.shape.size() != 2 || weight.shape[0] <= 0 || weight.shape[1] <= 0) {
    throw Error(ErrorKind::kModel,
                "tensor of shape " + shape_text(weight.shape) + " cannot be quantised", name,
                "a matrix is expected");
  }
  if ((format.bits != 2 && format.bits != 4 && format.bits != 8) || format.group_size < 0) {
    throw Error(ErrorKind::kUsage, "bits or group size not supported", name);
  }
  const int64_t cols = weight.shape[1];
  if (format.group_size != 0 && cols > format.group_size && cols % format.group_size != 0) {
    throw Error(ErrorKind::kModel,
                "groups of " + std::to_string(format.group_size) + " do not divide " +
                    std::to_string(cols) + " columns",
                name, "choose another --group-size, or --keep this module");
  }
  switch (weight.dtype) {
    case Dtype::kBf16:
      return Quantizer<Bf16Type>(weight, format, name).run();
    case Dtype::kF16:
      return Quantizer<F16Type>(weight, format, name).run();
    case Dtype::kF32:
      return Quantizer<F32Type>(weight, format, name).run();
    default:
      throw Error(
          ErrorKind::kModel,
          "tensor of dtype " + std::string(dtype_name(weight.dtype)) + " cannot be quantised", name,
          "F32, BF16 or F16 is expected");
  }
}

}  // namespace gemma4
