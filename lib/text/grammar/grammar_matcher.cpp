#include "lib/text/grammar/grammar_matcher.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

using Kind = Grammar::Kind;

size_t mix(uint32_t node, uint32_t a, uint32_t b, uint32_t next) {
  uint64_t hash = (uint64_t{node} << 32 | next) * 0x9E3779B97F4A7C15u;
  hash ^= hash >> 29;
  hash = (hash + (uint64_t{a} << 32 | b)) * 0xBF58476D1CE4E5B9u;
  return static_cast<size_t>(hash ^ (hash >> 32));
}

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar)
    : grammar_(std::move(grammar)), frames_{Entry{}}, slots_(64, 0), visited_(1, 0) {}

void GrammarMatcher::grow_slots() {
  std::vector<Frame> larger(slots_.size() * 2, 0);
  for (Frame f = 1; f < frames_.size(); ++f) {
    const Entry& entry = frames_[f];
    size_t at = mix(entry.node, entry.a, entry.b, entry.next) & (larger.size() - 1);
    while (larger[at] != 0) at = (at + 1) & (larger.size() - 1);
    larger[at] = f;
  }
  slots_ = std::move(larger);
}

GrammarMatcher::Frame GrammarMatcher::frame(const Entry& entry) {
  size_t at = mix(entry.node, entry.a, entry.b, entry.next) & (slots_.size() - 1);
  while (slots_[at] != 0) {
    if (frames_[slots_[at]] == entry) return slots_[at];
    at = (at + 1) & (slots_.size() - 1);
  }
  if (frames_.size() >= grammar_limits::kMaxFrames) {
    throw Error(ErrorKind::kUsage, "the grammar needs too much memory to follow", {},
                "make it less ambiguous, or the answer shorter");
  }
  const auto added = static_cast<Frame>(frames_.size());
  slots_[at] = added;
  frames_.push_back(entry);
  visited_.push_back(0);
  if (frames_.size() * 2 > slots_.size()) grow_slots();
  return added;
}

GrammarMatcher::Frame GrammarMatcher::enter(GrammarNode node, Frame next) {
  const Grammar::Node& what = grammar_->nodes[node];
  return what.kind == Kind::kRepeat ? frame({node, what.low, what.high, next})
                                    : frame({node, 0, 0, next});
}

// Replaces frames that wait for no byte by those that come next.
void GrammarMatcher::settle(State& state) {
  ++round_;
  work_.clear();
  const auto visit = [&](Frame f) {
    if (visited_[f] == round_) return;
    visited_[f] = round_;
    work_.push_back(f);
  };
  for (const Frame f : state) visit(f);
  state.clear();
  const auto keep = [&](Frame f) {
    state.push_back(f);
    if (state.size() > grammar_limits::kMaxStacks) {
      throw Error(ErrorKind::kUsage, "the text can be read in too many ways", {},
                  "make the grammar less ambiguous");
    }
  };
  while (!work_.empty()) {
    const Frame f = work_.back();
    work_.pop_back();
    ++work_done_;
    if (f == kFinished) {
      keep(f);
      continue;
    }
    const Entry entry = frames_[f];
    const Grammar::Node& node = grammar_->nodes[entry.node];
    const auto child = [&](uint32_t i) { return grammar_->children[node.first + i]; };
    switch (node.kind) {
      case Kind::kLiteral:
        if (entry.a < grammar_->literals[node.first].size()) {
          keep(f);
        } else {
          visit(entry.next);
        }
        break;
      case Kind::kDfa: {
        const Dfa& dfa = grammar_->dfas[node.first];
        if (!dfa.edges_of(entry.a).empty()) keep(f);
        if (dfa.accepting[entry.a]) visit(entry.next);
        break;
      }
      case Kind::kSequence: {
        // The last part needs no frame to come back to: tail calls do not grow the stack.
        const Frame after =
            entry.a + 1 < node.count ? frame({entry.node, entry.a + 1, 0, entry.next}) : entry.next;
        visit(enter(child(entry.a), after));
        break;
      }
      case Kind::kAlternatives:
        for (uint32_t i = 0; i < node.count; ++i) visit(enter(child(i), entry.next));
        break;
      case Kind::kRepeat: {
        if (entry.a == 0) visit(entry.next);
        if (entry.b == 0) break;
        const uint32_t least = entry.a == 0 ? 0 : entry.a - 1;
        const uint32_t most = entry.b == Grammar::kEndless ? entry.b : entry.b - 1;
        const Frame after = most == 0 ? entry.next : frame({entry.node, least, most, entry.next});
        visit(enter(child(0), after));
        break;
      }
      case Kind::kRule:
        visit(enter(grammar_->rules[node.first], entry.next));
        break;
    }
  }
  std::sort(state.begin(), state.end());
}

GrammarMatcher::State GrammarMatcher::start() {
  State state = {enter(grammar_->root, kFinished)};
  settle(state);
  return state;
}

GrammarMatcher::State GrammarMatcher::step(const State& state, uint8_t byte) {
  State next;
  for (const Frame f : state) {
    if (f == kFinished) continue;
    const Entry entry = frames_[f];
    const Grammar::Node& node = grammar_->nodes[entry.node];
    if (node.kind == Kind::kLiteral) {
      const std::string& literal = grammar_->literals[node.first];
      if (static_cast<uint8_t>(literal[entry.a]) == byte) {
        next.push_back(frame({entry.node, entry.a + 1, 0, entry.next}));
      }
    } else {
      const uint32_t to = grammar_->dfas[node.first].step(entry.a, byte);
      if (to != Dfa::kDead) next.push_back(frame({entry.node, to, 0, entry.next}));
    }
  }
  work_done_ += state.size();
  settle(next);
  return next;
}

GrammarMatcher::State GrammarMatcher::advance(State state, std::string_view text) {
  for (const char c : text) {
    if (state.empty()) break;
    state = step(state, static_cast<uint8_t>(c));
  }
  return state;
}

void GrammarMatcher::mark_cuts(const State& state, std::bitset<257>& cuts) const {
  for (const Frame f : state) {
    if (f == kFinished) continue;
    const Entry& entry = frames_[f];
    const Grammar::Node& node = grammar_->nodes[entry.node];
    if (node.kind == Kind::kLiteral) {
      const auto byte = static_cast<uint8_t>(grammar_->literals[node.first][entry.a]);
      cuts[byte] = cuts[byte + size_t{1}] = true;
    } else {
      for (const Dfa::Edge& edge : grammar_->dfas[node.first].edges_of(entry.a)) {
        cuts[edge.low] = cuts[edge.high + size_t{1}] = true;
      }
    }
  }
}

GrammarMatcher::State GrammarMatcher::import(const GrammarMatcher& other, const State& state,
                                             uint32_t count_limit) {
  State imported;
  std::vector<Frame> chain;
  for (const Frame top : state) {
    chain.clear();
    for (Frame f = top; f != kFinished; f = other.frames_[f].next) chain.push_back(f);
    work_done_ += chain.size();
    Frame next = kFinished;
    for (auto it = chain.rbegin(); it != chain.rend(); ++it) {
      Entry entry = other.frames_[*it];
      if (grammar_->nodes[entry.node].kind == Kind::kRepeat) {
        entry.a = std::min(entry.a, count_limit);
        if (entry.b != Grammar::kEndless) entry.b = std::min(entry.b, count_limit);
      }
      entry.next = next;
      next = frame(entry);
    }
    imported.push_back(next);
  }
  std::sort(imported.begin(), imported.end());
  imported.erase(std::unique(imported.begin(), imported.end()), imported.end());
  return imported;
}

}  // namespace gemma4
