#include "lib/runtime/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace gemma4 {

TokenLogprob token_logprob(std::span<const float> logits, TokenId token, int top) {
  const float largest = *std::max_element(logits.begin(), logits.end());
  double total = 0.0;
  for (const float logit : logits) total += std::exp(static_cast<double>(logit) - largest);
  const double log_total = std::log(total) + largest;
  const auto scored = [&](TokenId id) {
    return ScoredToken{id, static_cast<float>(logits[static_cast<size_t>(id)] - log_total)};
  };
  TokenLogprob out{scored(token), {}};
  const size_t count = std::min(logits.size(), static_cast<size_t>(std::max(top, 0)));
  if (count == 0) return out;
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto better = [&](TokenId a, TokenId b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                    better);
  for (size_t i = 0; i < count; ++i) out.top.push_back(scored(order[i]));
  return out;
}

}  // namespace gemma4
