// How a backend computes its products, for people to read.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "kernels/ops.h"

namespace gemma4 {

struct ProductReport {
  std::string_view method;  // "bf16 dot"; empty: the backend has nothing to choose
  /// What it chose from, by measurement: 10^9 operations per second of one thread.
  std::vector<std::pair<std::string_view, double>> rates = {};
};

/// A backend that has several ways to compute a product is one of these too.
class ProductReporter {
 public:
  virtual ~ProductReporter() = default;
  /// Of products of many rows with a prepared weight.
  virtual ProductReport product_report(const Weight& weight) const = 0;
};

inline ProductReport product_report(const Ops& ops, const Weight& weight) {
  const auto* reporter = dynamic_cast<const ProductReporter*>(&ops);
  return reporter == nullptr ? ProductReport{} : reporter->product_report(weight);
}

}  // namespace gemma4
