// The operations of a diffusion canvas; see Ops::judge_canvas and Ops::embed_mixture.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/reference/reference_ops.h"
#include "lib/base/error.h"

namespace gemma4::reference {

CanvasChoice judge_canvas(float* logits, int64_t vocab_size, const CanvasRow& row) {
  std::vector<double> z(logits, logits + vocab_size);
  for (double& value : z) {
    if (!std::isfinite(value)) {
      throw Error(ErrorKind::kInternal, "the logits of a canvas are not finite", "denoising");
    }
    value /= row.temperature;
  }
  for (const int32_t id : row.suppressed) {
    z[static_cast<size_t>(id)] = -std::numeric_limits<double>::infinity();
  }
  CanvasChoice choice;
  choice.best = static_cast<int32_t>(std::max_element(z.begin(), z.end()) - z.begin());
  const double largest = z[static_cast<size_t>(choice.best)];
  double total = 0.0;
  for (const double value : z) total += std::exp(value - largest);
  const double log_total = std::log(total) + largest;
  double entropy = 0.0;
  double mass = 0.0;
  choice.candidate = -1;
  for (int64_t id = 0; id < vocab_size; ++id) {
    const double log_p = z[static_cast<size_t>(id)] - log_total;
    const double p = std::exp(log_p);
    if (p > 0.0) entropy -= p * log_p;
    mass += p;
    if (choice.candidate < 0 && row.random < mass) choice.candidate = static_cast<int32_t>(id);
    logits[id] = static_cast<float>(p);
  }
  if (choice.candidate < 0) choice.candidate = choice.best;  // the sum fell short of 1 by rounding
  choice.entropy = static_cast<float>(entropy);
  return choice;
}

void embed_mixture(const float* p, const Weight& table, float scale, float* out) {
  std::vector<double> sum(static_cast<size_t>(table.cols), 0.0);
  std::vector<float> embedding(static_cast<size_t>(table.cols));
  for (int64_t v = 0; v < table.rows; ++v) {
    if (p[v] == 0.0f) continue;
    weight_row(table, v, embedding.data());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(p[v]) * embedding[i];
  }
  for (size_t i = 0; i < sum.size(); ++i) out[i] = static_cast<float>(scale * sum[i]);
}

}  // namespace gemma4::reference
