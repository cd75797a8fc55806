#include "lib/runtime/linear_timing.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "lib/base/scalar_types.h"
#include "lib/model/random_tensors.h"
#include "lib/model/weight_choice.h"

namespace gemma4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kMostCopies = 4096;  // of a toy's matrices

constexpr std::array<std::string_view, 4> kNames = {"f32", "bf16", "int8", "int4"};

Weight widened(const Weight& weight) {
  const auto* source = static_cast<const Bf16*>(weight.dense.data);
  auto values =
      std::make_shared<std::vector<float>>(static_cast<size_t>(weight.rows * weight.cols));
  for (size_t i = 0; i < values->size(); ++i) (*values)[i] = to_float(source[i]);
  Weight result = weight;
  result.dense = {values->data(), Dtype::kF32, {weight.rows, weight.cols}};
  result.owner = std::move(values);
  return result;
}

// Not yet prepared.
Weight random_weight(Ops& ops, TimedFormat format, int64_t rows, int64_t cols, size_t number) {
  RandomTensors source(ops);
  Weight weight = source.matrix("timing." + std::to_string(number), rows, cols);
  switch (format) {
    case TimedFormat::kF32:
      return widened(weight);
    case TimedFormat::kBf16:
      return weight;
    case TimedFormat::kInt8:
      return convert_weight(std::move(weight), WeightFormat::kInt8);
    case TimedFormat::kInt4:
      return convert_weight(std::move(weight), WeightFormat::kInt4);
  }
  return weight;
}

// A quantised matrix that the backend repacks is quantised once only.
std::vector<Weight> random_weights(Ops& ops, TimedFormat format, int64_t rows, int64_t cols,
                                   size_t count) {
  std::vector<Weight> weights;
  for (size_t i = 0; i < count; ++i) {
    const bool repacked = i > 0 && weights[0].quantized && weights[0].layout;
    Weight weight = repacked ? weights[0] : random_weight(ops, format, rows, cols, i);
    weight.layout.reset();
    ops.prepare(weight);
    weights.push_back(std::move(weight));
  }
  return weights;
}

double seconds_of_turn(Ops& ops, Matrix x, const std::vector<Weight>& weights, Matrix out) {
  const auto started = Clock::now();
  for (const Weight& weight : weights) {
    const LinearTarget target{&weight, out};
    ops.linear(x, {&target, 1});
  }
  float last;  // a GPU is done when its result is here
  ops.copy_to_host(&last, out.data, sizeof(last));
  return std::chrono::duration<double>(Clock::now() - started).count();
}

}  // namespace

std::string_view timed_format_name(TimedFormat format) {
  return kNames[static_cast<size_t>(format)];
}

double timed_format_bytes(TimedFormat format) {
  constexpr std::array<double, 4> kBytes = {4.0, 2.0, 1.0, 0.5 + 2.0 / 32};
  return kBytes[static_cast<size_t>(format)];
}

LinearTiming time_linear(Ops& ops, TimedFormat format, int64_t rows, int64_t cols, int64_t x_rows,
                         int repetitions, uint64_t working_set) {
  LinearTiming timing;
  timing.weight_bytes = timed_format_bytes(format) * static_cast<double>(rows * cols);
  timing.operations = 2.0 * static_cast<double>(x_rows) * static_cast<double>(rows * cols);
  const auto copies = static_cast<size_t>(std::clamp(
      std::ceil(static_cast<double>(working_set) / timing.weight_bytes), 1.0, kMostCopies));
  const std::vector<Weight> weights = random_weights(ops, format, rows, cols, copies);
  timing.product = product_report(ops, weights[0]);

  const auto element = static_cast<size_t>(dtype_bits(ops.activation_dtype()) / 8);
  const auto x = ops.allocate(static_cast<size_t>(x_rows * cols) * element);
  const auto out = ops.allocate(static_cast<size_t>(x_rows * rows) * element);
  if (ops.activation_dtype() == Dtype::kF32) {
    std::vector<float> values(static_cast<size_t>(x_rows * cols));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>((i * 2654435761u) >> 8 & 0xFFFF) / 32768.0f - 1.0f;
    }
    ops.copy_from_host(x->data(), values.data(), values.size() * sizeof(float));
  }
  const Matrix input{x->data(), ops.activation_dtype(), x_rows, cols};
  const Matrix output{out->data(), ops.activation_dtype(), x_rows, rows};
  seconds_of_turn(ops, input, weights, output);
  for (int i = 0; i < repetitions; ++i) {
    timing.seconds.push_back(seconds_of_turn(ops, input, weights, output) /
                             static_cast<double>(copies));
  }
  return timing;
}

}  // namespace gemma4
