#include "kernels/cpu/sampler.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "lib/base/error.h"

namespace gemma4::cpu {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();
constexpr int64_t kBlock = 256;

}  // namespace

int32_t Sampler::sample(const float* logits, int64_t vocab_size, const SampleRow& row) {
  logits_.assign(logits, logits + vocab_size);
  apply_masks(row);
  apply_penalties(row);
  const float top = find_block_tops();
  if (top == kNever) throw Error(ErrorKind::kInternal, "no token is allowed here", "sampling");
  if (row.params.temperature < 1e-5f) return first_of(top);
  const double total = gather_candidates(row.params, row.random, top);
  return draw(row, total);
}

void Sampler::apply_masks(const SampleRow& row) {
  const auto vocab_size = static_cast<int64_t>(logits_.size());
  for (const int32_t id : row.suppressed) {
    if (id >= 0 && id < vocab_size) logits_[static_cast<size_t>(id)] = kNever;
  }
  if (row.allowed.empty()) return;
  for (int64_t first = 0; first < vocab_size; first += 64) {
    const auto word = static_cast<size_t>(first / 64);
    const uint64_t bits = word < row.allowed.size() ? row.allowed[word] : 0;
    if (bits == ~uint64_t{0}) continue;
    const int64_t count = std::min<int64_t>(64, vocab_size - first);
    for (int64_t i = 0; i < count; ++i) {
      if (((bits >> i) & 1u) == 0) logits_[static_cast<size_t>(first + i)] = kNever;
    }
  }
}

void Sampler::apply_penalties(const SampleRow& row) {
  const SamplingParams& p = row.params;
  if (p.repetition_penalty == 1.0f && p.presence_penalty == 0.0f && p.frequency_penalty == 0.0f) {
    return;
  }
  counts_.resize(logits_.size(), 0);
  seen_.resize(logits_.size(), 0);
  const auto known = [&](int32_t id) {
    return id >= 0 && id < static_cast<int64_t>(logits_.size());
  };
  const auto repeat = [&](int32_t id) {
    const auto i = static_cast<size_t>(id);
    if (seen_[i] != 0) return;
    seen_[i] = 1;
    float& x = logits_[i];
    x = x > 0.0f ? x / p.repetition_penalty : x * p.repetition_penalty;
  };
  for (const int32_t id : row.prompt_ids) {
    if (known(id)) repeat(id);
  }
  for (const int32_t id : row.output_ids) {
    if (!known(id)) continue;
    repeat(id);
    ++counts_[static_cast<size_t>(id)];
  }
  for (const int32_t id : row.output_ids) {
    if (!known(id)) continue;
    const auto i = static_cast<size_t>(id);
    if (counts_[i] == 0) continue;  // an earlier occurrence has paid for all
    logits_[i] -= p.frequency_penalty * static_cast<float>(counts_[i]) + p.presence_penalty;
    counts_[i] = 0;
    seen_[i] = 0;
  }
  for (const int32_t id : row.prompt_ids) {
    if (known(id)) seen_[static_cast<size_t>(id)] = 0;
  }
}

float Sampler::find_block_tops() {
  const auto vocab_size = static_cast<int64_t>(logits_.size());
  block_tops_.clear();
  for (int64_t first = 0; first < vocab_size; first += kBlock) {
    block_tops_.push_back(
        kernels_.largest(logits_.data() + first, std::min(kBlock, vocab_size - first)));
  }
  return *std::max_element(block_tops_.begin(), block_tops_.end());
}

int32_t Sampler::first_of(float value) const {
  return static_cast<int32_t>(std::find(logits_.begin(), logits_.end(), value) - logits_.begin());
}

/// Fills candidates_, the most likely first (the lower id on ties), with weights relative to the
/// largest, and returns the sum of the weights of all that top-k lets pass. Candidates that neither
/// top-p nor the draw can reach are left out.
double Sampler::gather_candidates(const SamplingParams& params, double random, float top) {
  const auto vocab_size = static_cast<int64_t>(logits_.size());
  const bool by_rank = params.top_k > 0 && params.top_k < vocab_size;
  float bound = kNever;
  double total = 0.0;
  if (by_rank) {
    // As many blocks as top_k have a logit of at least the top_k-th largest block top, so the
    // top_k-th largest logit is no smaller.
    if (static_cast<size_t>(params.top_k) <= block_tops_.size()) {
      std::vector<float>& tops = weights_;
      tops = block_tops_;
      const auto nth = tops.begin() + (params.top_k - 1);
      std::nth_element(tops.begin(), nth, tops.end(), std::greater<>());
      bound = *nth;
    }
  } else {
    weights_.resize(logits_.size());
    total = kernels_.exp_sum(logits_.data(), top, 1.0f / params.temperature, vocab_size,
                             weights_.data());
    if (params.top_p >= 1.0f && params.min_p > 0.0f) {
      bound = static_cast<float>(top + std::log(0.999 * params.min_p) * params.temperature);
    } else {
      // Leaving out logits below `bound` takes at most half of the mass that may be left out: what
      // top-p drops, or what lies behind the draw.
      const double spare = 1.0 - (params.top_p < 1.0f ? params.top_p : random);
      const double least = 0.5 * spare * total / static_cast<double>(vocab_size);
      if (least > 0.0) bound = static_cast<float>(top + std::log(least) * params.temperature);
    }
  }
  candidates_.clear();
  for (int64_t block = 0; block < static_cast<int64_t>(block_tops_.size()); ++block) {
    if (block_tops_[static_cast<size_t>(block)] < bound) continue;
    const int64_t end = std::min((block + 1) * kBlock, vocab_size);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const float x = logits_[static_cast<size_t>(i)];
      if (x >= bound && x > kNever) candidates_.push_back({x, static_cast<int32_t>(i)});
    }
  }
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.value != b.value ? a.value > b.value : a.id < b.id;
  };
  if (by_rank && static_cast<size_t>(params.top_k) < candidates_.size()) {
    const auto nth = candidates_.begin() + (params.top_k - 1);
    std::nth_element(candidates_.begin(), nth, candidates_.end(), before);
    const double threshold = nth->value;  // ties with it stay
    std::erase_if(candidates_, [&](const Candidate& c) { return c.value < threshold; });
  }
  std::sort(candidates_.begin(), candidates_.end(), before);
  double sum = 0.0;
  for (Candidate& c : candidates_) {
    c.value = std::exp((c.value - top) / params.temperature);
    sum += c.value;
  }
  return by_rank ? sum : std::max(total, sum);
}

/// top-p, min-p and the draw, as the reference has them.
int32_t Sampler::draw(const SampleRow& row, double total) {
  const SamplingParams& p = row.params;
  size_t kept = candidates_.size();
  const auto mass_of = [&](size_t count) {
    double mass = 0.0;
    for (size_t i = 0; i < count; ++i) mass += candidates_[i].value;
    return mass;
  };
  if (p.top_p < 1.0f) {
    double mass = 0.0;
    size_t keep = 0;
    while (keep < kept && (keep == 0 || mass < p.top_p * total)) mass += candidates_[keep++].value;
    kept = keep;
    total = mass_of(kept);
  }
  if (p.min_p > 0.0f) {
    while (kept > 1 && candidates_[kept - 1].value < p.min_p * candidates_[0].value) --kept;
    total = mass_of(kept);
  }
  double left = row.random * total;
  for (size_t i = 0; i < kept; ++i) {
    left -= candidates_[i].value;
    if (left < 0.0) return candidates_[i].id;
  }
  return candidates_[kept - 1].id;
}

}  // namespace gemma4::cpu
