#include "lib/runtime/draft_control.h"

#include <algorithm>

namespace gemma4 {
namespace {

constexpr double kKeep = 0.9;        // of an old average when a new value comes
constexpr int64_t kPlainEvery = 64;  // rounds
constexpr double kLeastGain = 1.03;  // less is not worth it
constexpr int64_t kFirstGuess = 3;   // while it is not known what a draft costs
constexpr int64_t kProbeEvery = 64;  // rounds, when drafts do not pay
constexpr int64_t kProbeRounds = 4;
constexpr int64_t kProbeTokens = 2;

double blend(double old, double now) { return kKeep * old + (1.0 - kKeep) * now; }

}  // namespace

double expected_tokens(const DraftRates& rates, int64_t count) {
  double tokens = 1.0;
  double reached = 1.0;
  for (int64_t i = 0; i < count; ++i) {
    reached *= rates[static_cast<size_t>(i)];
    tokens += reached;
  }
  return tokens;
}

void DraftControl::begin_round(int64_t sequences) {
  sequences_ = sequences;
  Timing& timing = timings_[sequences];
  plain_ = timing.plain_ms == 0.0 || timing.rounds >= kPlainEvery;
  idle_ = pays_ ? 0 : idle_ + 1;
  pays_ = false;
}

int64_t DraftControl::count(const DraftRates& rates) {
  if (plain_) {
    pays_ = true;
    return 0;
  }
  if (fixed_) return *fixed_;
  if (!draft_ms_) return kFirstGuess;
  // The answers of a batch share the cost of a step, each pays for its own drafts.
  const double share = timings_.at(sequences_).plain_ms / static_cast<double>(sequences_);
  const auto gain = [&](int64_t count) {
    return expected_tokens(rates, count) * share /
           (share + *draft_ms_ * static_cast<double>(count));
  };
  int64_t best = 0;
  for (int64_t k = 1; k <= kMaxAdaptiveTokens; ++k) {
    if (gain(k) > gain(best)) best = k;
  }
  if (gain(best) >= kLeastGain) {
    pays_ = true;
    return best;
  }
  return idle_ % kProbeEvery >= kProbeEvery - kProbeRounds ? kProbeTokens : 0;
}

void DraftControl::learn(DraftRates& rates, int64_t drafted, int64_t accepted) {
  for (int64_t i = 0; i < std::min(drafted, accepted + 1); ++i) {
    const auto at = static_cast<size_t>(i);
    const double now = i < accepted ? 1.0 : 0.0;
    rates[at] = blend(rates[at], now);
    recent_[at] = blend(recent_[at], now);
  }
}

void DraftControl::time(int64_t sequences, int64_t drafted, double ms) {
  Timing& timing = timings_[sequences];
  if (drafted == 0) {
    timing.plain_ms = timing.plain_ms == 0.0 ? ms : blend(timing.plain_ms, ms);
    timing.rounds = 0;
    return;
  }
  ++timing.rounds;
  if (timing.plain_ms == 0.0) return;
  const double added = std::max(0.0, ms - timing.plain_ms) / static_cast<double>(drafted);
  draft_ms_ = draft_ms_ ? blend(*draft_ms_, added) : added;
}

std::optional<double> DraftControl::plain_ms(int64_t sequences) const {
  const auto found = timings_.find(sequences);
  if (found == timings_.end() || found->second.plain_ms == 0.0) return std::nullopt;
  return found->second.plain_ms;
}

}  // namespace gemma4
