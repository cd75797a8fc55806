// Sampling of one row, in the order of spec tokenizer-chat.md, section 7: suppressed and forbidden
// ids, penalties, temperature, top-k, top-p, min-p, draw.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>

#include "kernels/reference/reference_ops.h"
#include "lib/base/error.h"

namespace gemma4::reference {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

bool allowed(const SampleRow& row, int64_t id) {
  if (row.allowed.empty()) return true;
  const auto word = static_cast<size_t>(id / 64);
  return word < row.allowed.size() && ((row.allowed[word] >> (id % 64)) & 1u) != 0;
}

void apply_penalties(const SampleRow& row, std::vector<double>& x) {
  const SamplingParams& p = row.params;
  std::map<int32_t, int> counts;
  for (const int32_t id : row.output_ids) ++counts[id];
  std::set<int32_t> seen(row.prompt_ids.begin(), row.prompt_ids.end());
  seen.insert(row.output_ids.begin(), row.output_ids.end());
  for (const int32_t id : seen) {
    double& value = x[static_cast<size_t>(id)];
    value = value > 0.0 ? value / p.repetition_penalty : value * p.repetition_penalty;
  }
  for (const auto& [id, count] : counts) {
    x[static_cast<size_t>(id)] -= p.frequency_penalty * count + p.presence_penalty;
  }
}

}  // namespace

int32_t sample(const float* logits, int64_t vocab_size, const SampleRow& row) {
  const SamplingParams& p = row.params;
  std::vector<double> x(logits, logits + vocab_size);
  for (const int32_t id : row.suppressed) x[static_cast<size_t>(id)] = kNever;
  for (int64_t id = 0; id < vocab_size; ++id) {
    if (!allowed(row, id)) x[static_cast<size_t>(id)] = kNever;
  }
  apply_penalties(row, x);

  std::vector<int32_t> order(x.size());  // largest first, the lower id first on ties
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return x[a] > x[b]; });
  if (x[order[0]] == kNever) {
    throw Error(ErrorKind::kInternal, "no token is allowed here", "sampling");
  }
  if (p.temperature < 1e-5f) return order[0];

  size_t kept = x.size();
  while (kept > 0 && x[order[kept - 1]] == kNever) --kept;
  if (p.top_k > 0 && static_cast<size_t>(p.top_k) < kept) {
    const double threshold = x[order[static_cast<size_t>(p.top_k) - 1]];
    while (x[order[kept - 1]] < threshold) --kept;  // ties at the threshold stay
  }
  std::vector<double> weight(kept);
  for (size_t i = 0; i < kept; ++i)
    weight[i] = std::exp((x[order[i]] - x[order[0]]) / p.temperature);
  if (p.top_p < 1.0f) {
    const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
    double mass = 0.0;
    size_t keep = 0;
    while (keep < kept && (keep == 0 || mass < p.top_p * total)) mass += weight[keep++];
    kept = keep;
  }
  if (p.min_p > 0.0f) {
    while (kept > 1 && weight[kept - 1] < p.min_p * weight[0]) --kept;
  }
  const double total = std::accumulate(weight.begin(), weight.begin() + kept, 0.0);
  double left = row.random * total;
  for (size_t i = 0; i < kept; ++i) {
    left -= weight[i];
    if (left < 0.0) return order[i];
  }
  return order[kept - 1];
}

}  // namespace gemma4::reference
