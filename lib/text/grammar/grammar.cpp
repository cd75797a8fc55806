#include "lib/text/grammar/grammar.h"

#include <algorithm>
#include <span>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

using Kind = Grammar::Kind;

// The nodes that `node` is made of.
std::span<const GrammarNode> parts_of(const Grammar& grammar, const Grammar::Node& node) {
  switch (node.kind) {
    case Kind::kLiteral:
    case Kind::kDfa:
      return {};
    case Kind::kRule:
      return std::span(grammar.rules).subspan(node.first, 1);
    case Kind::kSequence:
    case Kind::kAlternatives:
    case Kind::kRepeat:
      return std::span(grammar.children).subspan(node.first, node.count);
  }
  return {};
}

constexpr uint32_t kNever = UINT32_MAX;

// A node becomes true when needed[node] of its parts are (0: at once; kNever: not at all).
std::vector<bool> least_fixpoint(const Grammar& grammar, std::vector<uint32_t> needed) {
  const size_t count = grammar.nodes.size();
  std::vector<uint32_t> first_user(count + 1, 0);
  for (const Grammar::Node& node : grammar.nodes) {
    for (const GrammarNode part : parts_of(grammar, node)) ++first_user[part + 1];
  }
  for (size_t i = 0; i < count; ++i) first_user[i + 1] += first_user[i];
  std::vector<GrammarNode> users(first_user[count]);
  std::vector<uint32_t> fill(first_user.begin(), first_user.end() - 1);
  for (GrammarNode n = 0; n < count; ++n) {
    for (const GrammarNode part : parts_of(grammar, grammar.nodes[n])) users[fill[part]++] = n;
  }
  std::vector<bool> truth(count, false);
  std::vector<GrammarNode> work;
  const auto set_true = [&](GrammarNode n) {
    truth[n] = true;
    work.push_back(n);
  };
  for (GrammarNode n = 0; n < count; ++n) {
    if (needed[n] == 0) set_true(n);
  }
  while (!work.empty()) {
    const GrammarNode n = work.back();
    work.pop_back();
    for (uint32_t i = first_user[n]; i < first_user[n + 1]; ++i) {
      const GrammarNode user = users[i];
      if (truth[user] || needed[user] == kNever) continue;
      if (--needed[user] == 0) set_true(user);
    }
  }
  return truth;
}

uint32_t parts_needed(const Grammar::Node& node) {
  switch (node.kind) {
    case Kind::kSequence:
      return node.count;
    case Kind::kRepeat:
      return node.low == 0 ? 0 : 1;
    case Kind::kAlternatives:
    case Kind::kRule:
      return 1;
    case Kind::kLiteral:
    case Kind::kDfa:
      break;
  }
  return 0;
}

}  // namespace

GrammarNode GrammarBuilder::add(Grammar::Node node) {
  if (grammar_.nodes.size() >= grammar_limits::kMaxNodes ||
      grammar_.children.size() >= 2 * grammar_limits::kMaxNodes) {
    throw Error(ErrorKind::kUsage, "the grammar is too large", {},
                "at most " + std::to_string(grammar_limits::kMaxNodes) + " parts");
  }
  grammar_.nodes.push_back(node);
  return static_cast<GrammarNode>(grammar_.nodes.size() - 1);
}

GrammarNode GrammarBuilder::add_list(Kind kind, const std::vector<GrammarNode>& list) {
  const auto first = static_cast<uint32_t>(grammar_.children.size());
  grammar_.children.insert(grammar_.children.end(), list.begin(), list.end());
  return add({.kind = kind, .first = first, .count = static_cast<uint32_t>(list.size())});
}

GrammarNode GrammarBuilder::literal(std::string_view bytes) {
  grammar_.literals.emplace_back(bytes);
  return add(
      {.kind = Kind::kLiteral, .first = static_cast<uint32_t>(grammar_.literals.size() - 1)});
}

GrammarNode GrammarBuilder::dfa(Dfa automaton) {
  if (automaton.empty()) return alternatives({});
  dfa_edges_ += automaton.edges.size();
  if (dfa_edges_ > grammar_limits::kMaxAllDfaEdges) {
    throw Error(ErrorKind::kUsage, "the grammar's expressions are too large", {},
                "make them simpler or their bounds smaller");
  }
  grammar_.dfas.push_back(std::move(automaton));
  return add({.kind = Kind::kDfa, .first = static_cast<uint32_t>(grammar_.dfas.size() - 1)});
}

GrammarNode GrammarBuilder::sequence(std::vector<GrammarNode> parts) {
  if (parts.empty()) return literal("");
  return parts.size() == 1 ? parts.front() : add_list(Kind::kSequence, parts);
}

GrammarNode GrammarBuilder::alternatives(std::vector<GrammarNode> choices) {
  return choices.size() == 1 ? choices.front() : add_list(Kind::kAlternatives, choices);
}

GrammarNode GrammarBuilder::repeat(GrammarNode part, uint32_t low, uint32_t high) {
  if (high == 0) return literal("");
  if (low == 1 && high == 1) return part;
  const GrammarNode node = add_list(Kind::kRepeat, {part});
  grammar_.nodes[node].low = low;
  grammar_.nodes[node].high = high;
  return node;
}

uint32_t GrammarBuilder::declare_rule() {
  grammar_.rules.push_back(0);
  return static_cast<uint32_t>(grammar_.rules.size() - 1);
}

GrammarNode GrammarBuilder::rule(uint32_t index) {
  return add({.kind = Kind::kRule, .first = index});
}

Grammar GrammarBuilder::finish(GrammarNode root, const std::vector<std::string>& names) && {
  grammar_.root = root;
  drop_endless_choices();
  const std::vector<bool> nullable = nullable_nodes();
  bound_empty_repeats(nullable);
  refuse_left_recursion(nullable, names);
  return std::move(grammar_);
}

void GrammarBuilder::drop_endless_choices() {
  std::vector<uint32_t> needed;
  for (const Grammar::Node& node : grammar_.nodes) needed.push_back(parts_needed(node));
  const std::vector<bool> ends = least_fixpoint(grammar_, std::move(needed));
  if (!ends[grammar_.root]) {
    throw Error(ErrorKind::kUsage, "the grammar fits no text", {},
                "its parts contradict each other, or never come to an end");
  }
  for (Grammar::Node& node : grammar_.nodes) {
    if (node.kind == Kind::kAlternatives) {
      const auto begin = grammar_.children.begin() + node.first;
      const auto kept = std::stable_partition(begin, begin + node.count,
                                              [&](GrammarNode part) { return ends[part]; });
      node.count = static_cast<uint32_t>(kept - begin);
    } else if (node.kind == Kind::kRepeat && !ends[grammar_.children[node.first]]) {
      node.high = 0;
    }
  }
}

std::vector<bool> GrammarBuilder::nullable_nodes() const {
  std::vector<uint32_t> needed;
  for (const Grammar::Node& node : grammar_.nodes) {
    bool empty = true;
    if (node.kind == Kind::kLiteral) empty = grammar_.literals[node.first].empty();
    if (node.kind == Kind::kDfa) empty = grammar_.dfas[node.first].accepting[0];
    needed.push_back(empty ? parts_needed(node) : kNever);
  }
  return least_fixpoint(grammar_, std::move(needed));
}

// What may be empty need not be repeated to reach a least count.
void GrammarBuilder::bound_empty_repeats(const std::vector<bool>& nullable) {
  for (Grammar::Node& node : grammar_.nodes) {
    if (node.kind != Kind::kRepeat || !nullable[grammar_.children[node.first]]) continue;
    node.low = 0;
    if (node.high != Grammar::kEndless && node.high > grammar_limits::kMaxNullableRepeat) {
      throw Error(ErrorKind::kUsage, "a part that may be empty is repeated too often", {},
                  "at most " + std::to_string(grammar_limits::kMaxNullableRepeat) +
                      " times, or without a bound");
    }
  }
}

// Depth-first over "can begin with"; a node met while it is still open begins with itself.
void GrammarBuilder::refuse_left_recursion(const std::vector<bool>& nullable,
                                           const std::vector<std::string>& names) const {
  enum : uint8_t { kNew, kOpen, kDone };
  std::vector<uint8_t> mark(grammar_.nodes.size(), kNew);
  struct Visit {
    GrammarNode node;
    uint32_t next_part;
  };
  std::vector<Visit> path;
  for (GrammarNode start = 0; start < grammar_.nodes.size(); ++start) {
    if (mark[start] != kNew) continue;
    mark[start] = kOpen;
    path.push_back({start, 0});
    while (!path.empty()) {
      Visit& visit = path.back();
      const Grammar::Node& node = grammar_.nodes[visit.node];
      const auto parts = parts_of(grammar_, node);
      const bool blocked = node.kind == Kind::kSequence && visit.next_part > 0 &&
                           !nullable[parts[visit.next_part - 1]];
      if (visit.next_part >= parts.size() || blocked) {
        mark[visit.node] = kDone;
        path.pop_back();
        continue;
      }
      const GrammarNode part = parts[visit.next_part++];
      if (mark[part] == kOpen) {
        std::string name;
        for (const Visit& open : path) {
          const Grammar::Node& one = grammar_.nodes[open.node];
          if (one.kind == Kind::kRule && one.first < names.size()) {
            name = "rule " + names[one.first];
          }
        }
        throw Error(ErrorKind::kUsage, "a rule begins with itself", name,
                    "let it begin with something else, or repeat with *");
      }
      if (mark[part] == kNew) {
        mark[part] = kOpen;
        path.push_back({part, 0});
      }
    }
  }
}

}  // namespace gemma4
