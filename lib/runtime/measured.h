// A measured quantity: every value, and what a report says of them.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace gemma4 {

/// Empty (nothing in it) for what a measurement could not give, a decode rate of one token say.
struct Measured {
  std::optional<double> median;
  std::optional<double> p99;
  std::optional<double> mean;
  std::vector<double> values;  // in the order of measurement
};

/// The value below which `share` (0 ... 1) of the values lie, with linear interpolation between
/// neighbours as numpy.percentile does. At least one value.
double percentile(std::span<const double> values, double share);

/// Times, or plain quantities.
Measured measured(std::vector<double> values);

/// Rates: work[i] done in seconds[i]. The mean is all work over all time (times are averaged, not
/// rates), and p99 is the rate that 99 % of the runs exceed. Runs without time are left out. Shares
/// are such rates, too: parts of wholes.
Measured measured_rate(std::span<const double> work, std::span<const double> seconds);

/// Every number in it times `factor`.
Measured scaled(Measured quantity, double factor);

}  // namespace gemma4
