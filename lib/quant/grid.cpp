#include "lib/quant/grid.h"

#include <algorithm>
#include <cmath>

#include "lib/quant/rounding.h"

namespace gemma4 {
namespace {

constexpr float kAccepted = 1.0f / 32.0f;
/// The first guess of the step comes from one rounded weight, so it may be off by as much as the
/// weights are; refining brings it below kAccepted.
constexpr float kCandidate = 1.0f / 8.0f;

/// Whether every x / step is within `limit` of a code in [-8, 7]; `codes` are these codes then.
bool lies_on_grid(std::span<const float> group, float step, float limit, std::span<int8_t> codes) {
  const float inverse = 1.0f / step;
  if (!std::isfinite(inverse)) return false;  // weights this small are as good as zero
  for (size_t i = 0; i < group.size(); ++i) {
    const float scaled = group[i] * inverse;
    const float code = round_half_even(std::clamp(scaled, -8.0f, 7.0f));
    if (std::fabs(scaled - code) > limit) return false;
    codes[i] = static_cast<int8_t>(code);
  }
  return true;
}

float refined_step(std::span<const float> group, std::span<const int8_t> codes) {
  double products = 0.0;
  double squares = 0.0;
  for (size_t i = 0; i < group.size(); ++i) {
    products += static_cast<double>(group[i]) * codes[i];
    squares += static_cast<double>(codes[i]) * codes[i];
  }
  return static_cast<float>(products / squares);
}

}  // namespace

float find_grid_step(std::span<const float> group, Dtype scale_dtype, std::span<int8_t> codes) {
  float extremum = 0.0f;  // the first of the largest magnitude, with its sign
  for (const float x : group) {
    if (std::fabs(x) > std::fabs(extremum)) extremum = x;
  }
  if (extremum == 0.0f) {
    std::fill(codes.begin(), codes.end(), int8_t{0});
    return epsilon_of(scale_dtype);
  }
  for (int k = 8; k >= 1; --k) {
    const float candidate = k == 8 ? extremum / -8.0f : std::fabs(extremum) / static_cast<float>(k);
    if (!lies_on_grid(group, candidate, kCandidate, codes)) continue;
    const float refined = refined_step(group, codes);
    if (!lies_on_grid(group, refined, kAccepted, codes)) continue;
    const float step = round_to(scale_dtype, refined);
    // Rounding the step costs as much again as rounding the weights did.
    if (step != 0.0f && lies_on_grid(group, step, 2 * kAccepted, codes)) return step;
  }
  return 0.0f;
}

}  // namespace gemma4
