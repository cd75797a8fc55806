// A grammar over bytes: what GBNF, expressions and JSON schemas are compiled to, and what the
// matcher follows. Regular parts are automata; rules call each other and may be recursive.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/grammar/dfa.h"

namespace gemma4 {

using GrammarNode = uint32_t;  // index into Grammar::nodes

struct Grammar {
  static constexpr uint32_t kEndless = UINT32_MAX;

  enum class Kind : uint8_t {
    kLiteral,       // first: index of `literals`
    kDfa,           // first: index of `dfas`
    kSequence,      // first, count: `children`, one after the other
    kAlternatives,  // first, count: `children`, any one of them; none: no text at all
    kRepeat,        // children[first], low to high times (kEndless: without end)
    kRule,          // first: index of `rules`
  };
  struct Node {
    Kind kind;
    uint32_t first = 0;
    uint32_t count = 0;
    uint32_t low = 0;
    uint32_t high = 0;
  };

  std::vector<Node> nodes;
  std::vector<GrammarNode> children;
  std::vector<std::string> literals;
  std::vector<Dfa> dfas;
  std::vector<GrammarNode> rules;  // what each rule stands for
  GrammarNode root = 0;
};

/// Builds a grammar node by node; nodes may be used in several places.
class GrammarBuilder {
 public:
  GrammarNode literal(std::string_view bytes);
  GrammarNode dfa(Dfa automaton);
  GrammarNode sequence(std::vector<GrammarNode> parts);
  GrammarNode alternatives(std::vector<GrammarNode> choices);
  GrammarNode repeat(GrammarNode part, uint32_t low, uint32_t high);
  /// A rule that is defined later; `define` must be called for each.
  uint32_t declare_rule();
  void define(uint32_t rule, GrammarNode body) { grammar_.rules[rule] = body; }
  GrammarNode rule(uint32_t index);

  /// Drops choices that can never come to an end, so that what is left has no dead ends. Throws
  /// Error(kUsage) when no text fits, when a rule begins with itself, or past a limit of limits.h;
  /// `names`: of the rules, for the message; may be shorter than there are rules.
  Grammar finish(GrammarNode root, const std::vector<std::string>& names = {}) &&;

 private:
  GrammarNode add(Grammar::Node node);
  GrammarNode add_list(Grammar::Kind kind, const std::vector<GrammarNode>& list);
  void drop_endless_choices();
  std::vector<bool> nullable_nodes() const;
  void bound_empty_repeats(const std::vector<bool>& nullable);
  void refuse_left_recursion(const std::vector<bool>& nullable,
                             const std::vector<std::string>& names) const;

  Grammar grammar_;
  size_t dfa_edges_ = 0;
};

}  // namespace gemma4
