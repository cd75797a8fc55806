#include "lib/runtime/measured.h"

#include <algorithm>
#include <numeric>

namespace gemma4 {

double percentile(std::span<const double> values, double share) {
  std::vector<double> sorted(values.begin(), values.end());
  std::sort(sorted.begin(), sorted.end());
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - static_cast<double>(below));
}

Measured measured(std::vector<double> values) {
  Measured result;
  if (!values.empty()) {
    result.median = percentile(values, 0.5);
    result.p99 = percentile(values, 0.99);
    result.mean =
        std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }
  result.values = std::move(values);
  return result;
}

Measured measured_rate(std::span<const double> work, std::span<const double> seconds) {
  std::vector<double> rates;
  double all_work = 0.0;
  double all_seconds = 0.0;
  for (size_t i = 0; i < work.size(); ++i) {
    if (seconds[i] <= 0.0) continue;
    rates.push_back(work[i] / seconds[i]);
    all_work += work[i];
    all_seconds += seconds[i];
  }
  Measured result = measured(std::move(rates));
  if (result.values.empty()) return result;
  result.mean = all_work / all_seconds;
  result.p99 = percentile(result.values, 0.01);
  return result;
}

Measured scaled(Measured quantity, double factor) {
  for (auto* value : {&quantity.median, &quantity.p99, &quantity.mean}) {
    if (*value) **value *= factor;
  }
  for (double& value : quantity.values) value *= factor;
  return quantity;
}

}  // namespace gemma4
