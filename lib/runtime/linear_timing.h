// Times of Ops::linear on random weights: the machine's matrix rates, and `bench --ops`.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernels/ops.h"
#include "kernels/product_report.h"

namespace gemma4 {

/// What the weights of a measurement are stored as. kF32 has no WeightFormat of its own.
enum class TimedFormat : uint8_t { kF32, kBf16, kInt8, kInt4 };

/// "f32", "bf16", "int8", "int4".
std::string_view timed_format_name(TimedFormat format);
/// Bytes of one weight on average, scales of groups included, those of rows not.
double timed_format_bytes(TimedFormat format);

struct LinearTiming {
  std::vector<double> seconds;  // one product each
  double weight_bytes = 0.0;    // that one product reads
  double operations = 0.0;      // 2 * x_rows * rows * cols
  ProductReport product;        // how the backend computes products of many rows with W
};

/// `repetitions` times of x W^T with x [x_rows, cols] and W [rows, cols], after one warm-up. As
/// many copies of W take turns as fill `working_set` bytes, so that caches hold none of them
/// (at most 4096); 0: always the same W. Each time is a whole turn divided by the number of copies.
LinearTiming time_linear(Ops& ops, TimedFormat format, int64_t rows, int64_t cols, int64_t x_rows,
                         int repetitions, uint64_t working_set = 0);

}  // namespace gemma4
