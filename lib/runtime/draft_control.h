// How many tokens to draft: as many as pay, by the acceptance and the times that were measured.
//
// A round drafts k tokens and yields E(k) = 1 + sum_i prod_{j<=i} a_j tokens, a_j being the rate at
// which draft j is accepted after those before it (spec mtp-diffusion.md, A11).
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>

#include "lib/runtime/draft_source.h"

namespace gemma4 {

/// Most that are drafted when the number is not fixed: a step of up to 8 rows gives each row the
/// same logits as a step of its own on the CPU, bit for bit.
inline constexpr int64_t kMaxAdaptiveTokens = 7;

/// Rates of acceptance of one answer, by position, each given that those before it were accepted.
using DraftRates = std::array<double, kMaxDraftTokens>;

/// Expected tokens of a round with `count` drafts.
double expected_tokens(const DraftRates& rates, int64_t count);

class DraftControl {
 public:
  /// `fixed`: this many tokens each time; nothing: as many as pay.
  explicit DraftControl(std::optional<int64_t> fixed) : fixed_(fixed) { recent_.fill(0.7); }

  /// Rates that an answer starts with: those of the answers before it.
  const DraftRates& recent() const { return recent_; }

  /// A round for `sequences` answers begins. Now and then there is one without drafts, which tells
  /// what they save.
  void begin_round(int64_t sequences);
  /// Tokens to draft for one of them; 0: none.
  int64_t count(const DraftRates& rates);

  /// Of `drafted` tokens of an answer `accepted` were accepted.
  void learn(DraftRates& rates, int64_t drafted, int64_t accepted);
  /// A step of `sequences` answers and no prompt took `ms`, drafting included.
  void time(int64_t sequences, int64_t drafted, double ms);

  /// Milliseconds of a step of so many answers without drafts; nothing: not measured.
  std::optional<double> plain_ms(int64_t sequences) const;

 private:
  struct Timing {
    double plain_ms = 0.0;  // 0: not measured
    int64_t rounds = 0;     // since it was
  };

  std::optional<int64_t> fixed_;
  DraftRates recent_;
  std::map<int64_t, Timing> timings_;  // by number of sequences
  std::optional<double> draft_ms_;     // that one more draft adds to a step
  int64_t sequences_ = 1;              // of the round
  bool plain_ = false;                 // the round is without drafts
  int64_t idle_ = 0;                   // rounds since drafts paid last
  bool pays_ = true;                   // in this round, for some answer
};

}  // namespace gemma4
