// Automata with choice: what expressions are built into before they are made deterministic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lib/text/grammar/dfa.h"

namespace gemma4 {

/// An inclusive range of code points.
struct CodePointRange {
  char32_t low;
  char32_t high;
};
inline constexpr char32_t kLastCodePoint = 0x10FFFF;

/// Sorted, without overlaps or neighbours; surrogates left out.
std::vector<CodePointRange> normalized(std::vector<CodePointRange> ranges);
/// All code points (no surrogates) that are not in `ranges`.
std::vector<CodePointRange> complement(const std::vector<CodePointRange>& ranges);

/// Every function that adds states throws Error(kUsage) past grammar_limits::kMaxNfaStates.
class Nfa {
 public:
  /// A part with one way in and one way out.
  struct Part {
    uint32_t begin;
    uint32_t end;
  };
  enum class Assertion : uint8_t { kNone, kTextBegins, kTextEnds };

  uint32_t add_state();
  /// A way that takes no byte; with an assertion, only where it holds.
  void link(uint32_t from, uint32_t to, Assertion assertion = Assertion::kNone);
  /// One code point out of `ranges` (normalized) as UTF-8.
  Part code_point(std::span<const CodePointRange> ranges);
  Part concatenation(Part first, Part second);

  /// The texts that lead from `part.begin` to `part.end`. Throws Error(kUsage) past
  /// kMaxDfaStates or kMaxDeterminizeWork.
  Dfa determinize(Part part) const;

 private:
  struct Link {
    uint32_t to;
    Assertion assertion;
  };
  struct State {
    std::vector<Dfa::Edge> edges;
    std::vector<Link> links;
  };
  std::vector<State> states_;

  size_t close(std::vector<uint32_t>& set, Assertion holds, uint32_t end,
               std::vector<uint32_t>& seen, uint32_t round) const;
};

}  // namespace gemma4
