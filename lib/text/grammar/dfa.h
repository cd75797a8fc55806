// Deterministic automata over bytes: the regular parts of a grammar (texts, character classes,
// expressions, ranges of numbers), and the set operations that schemas need on them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gemma4 {

/// State 0 is the start. Trimmed: every state can reach an accepting one. No states at all: the
/// empty language.
struct Dfa {
  struct Edge {
    uint8_t low;
    uint8_t high;
    uint32_t target;
  };
  static constexpr uint32_t kDead = UINT32_MAX;

  std::vector<uint32_t> first_edge;  // [states + 1]
  std::vector<Edge> edges;           // of each state: apart, in order of bytes
  std::vector<bool> accepting;       // [states]

  size_t size() const { return accepting.size(); }
  bool empty() const { return accepting.empty(); }
  std::span<const Edge> edges_of(uint32_t state) const {
    return std::span(edges).subspan(first_edge[state], first_edge[state + 1] - first_edge[state]);
  }
  /// kDead when no edge has this byte.
  uint32_t step(uint32_t state, uint8_t byte) const;
  bool matches(std::string_view text) const;
};

/// Collects states and edges in any order; the first state added is the start.
class DfaBuilder {
 public:
  uint32_t add_state(bool accepting);
  void set_accepting(uint32_t state) { accepting_[state] = true; }
  /// Edges of one state must not overlap.
  void add_edge(uint32_t from, uint8_t low, uint8_t high, uint32_t to);
  size_t size() const { return accepting_.size(); }
  /// The trimmed automaton.
  Dfa build() const;

 private:
  std::vector<bool> accepting_;
  std::vector<std::vector<Dfa::Edge>> edges_;
};

/// Exactly these texts.
Dfa dfa_of_texts(std::span<const std::string> texts);

/// All of these throw Error(kUsage) when the result passes grammar_limits::kMaxDfaStates.
Dfa intersection(const Dfa& a, const Dfa& b);
Dfa difference(const Dfa& a, const Dfa& b);
Dfa set_union(const Dfa& a, const Dfa& b);

/// Valid UTF-8 of `least` to `most` code points; `most` UINT32_MAX: without end.
Dfa dfa_of_length(uint32_t least, uint32_t most);

/// Least and greatest number of code points in a text of `dfa`, which accepts only valid UTF-8 and
/// is not empty; `most` UINT32_MAX: without end.
struct LengthRange {
  uint32_t least;
  uint32_t most;
};
LengthRange length_range(const Dfa& dfa);

/// The JSON strings, with their quotes, whose value `value` accepts. Characters that JSON asks to
/// escape are escaped in the short form or as \u00XX, "/" may be, all others stand for themselves.
Dfa json_string_of(const Dfa& value);

}  // namespace gemma4
