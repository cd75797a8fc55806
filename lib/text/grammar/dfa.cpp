#include "lib/text/grammar/dfa.h"

#include <algorithm>
#include <unordered_map>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

[[noreturn]] void fail_states() {
  throw Error(
      ErrorKind::kUsage,
      "an expression needs more than " + std::to_string(grammar_limits::kMaxDfaStates) + " states",
      {}, "make it simpler or its bounds smaller");
}

enum class SetOperation { kAnd, kMinus, kOr };

bool combine(SetOperation operation, bool a, bool b) {
  switch (operation) {
    case SetOperation::kAnd:
      return a && b;
    case SetOperation::kMinus:
      return a && !b;
    case SetOperation::kOr:
      return a || b;
  }
  return false;
}

std::span<const Dfa::Edge> edges_or_none(const Dfa& dfa, uint32_t state) {
  return state == Dfa::kDead ? std::span<const Dfa::Edge>() : dfa.edges_of(state);
}

// The automaton of pairs of states, with kDead for a side that cannot accept any more.
Dfa product(const Dfa& a, const Dfa& b, SetOperation operation) {
  const auto start_of = [](const Dfa& dfa) { return dfa.empty() ? Dfa::kDead : 0; };
  DfaBuilder builder;
  std::unordered_map<uint64_t, uint32_t> ids;
  std::vector<std::pair<uint32_t, uint32_t>> pairs;
  const auto id_of = [&](uint32_t p, uint32_t q) {
    const bool useless = operation == SetOperation::kAnd     ? p == Dfa::kDead || q == Dfa::kDead
                         : operation == SetOperation::kMinus ? p == Dfa::kDead
                                                             : p == Dfa::kDead && q == Dfa::kDead;
    if (useless) return Dfa::kDead;
    const auto [it, is_new] =
        ids.try_emplace(uint64_t{p} << 32 | q, static_cast<uint32_t>(pairs.size()));
    if (is_new) {
      if (pairs.size() >= grammar_limits::kMaxDfaStates) fail_states();
      pairs.emplace_back(p, q);
      builder.add_state(
          combine(operation, p != Dfa::kDead && a.accepting[p], q != Dfa::kDead && b.accepting[q]));
    }
    return it->second;
  };
  id_of(start_of(a), start_of(b));
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto [p, q] = pairs[i];
    const auto left = edges_or_none(a, p);
    const auto right = edges_or_none(b, q);
    size_t l = 0, r = 0;
    for (int byte = 0; byte < 256;) {
      while (l < left.size() && left[l].high < byte) ++l;
      while (r < right.size() && right[r].high < byte) ++r;
      int end = 256;  // of the bytes from `byte` on that go to one pair
      uint32_t to_left = Dfa::kDead, to_right = Dfa::kDead;
      const auto look = [&](std::span<const Dfa::Edge> edges, size_t at, uint32_t& target) {
        if (at == edges.size()) return;
        if (edges[at].low > byte) {
          end = std::min<int>(end, edges[at].low);
        } else {
          end = std::min<int>(end, edges[at].high + 1);
          target = edges[at].target;
        }
      };
      look(left, l, to_left);
      look(right, r, to_right);
      const uint32_t to = id_of(to_left, to_right);
      if (to != Dfa::kDead) {
        builder.add_edge(static_cast<uint32_t>(i), static_cast<uint8_t>(byte),
                         static_cast<uint8_t>(end - 1), to);
      }
      byte = end;
    }
  }
  return builder.build();
}

}  // namespace

uint32_t Dfa::step(uint32_t state, uint8_t byte) const {
  const auto all = edges_of(state);
  const auto it = std::partition_point(all.begin(), all.end(),
                                       [&](const Edge& edge) { return edge.high < byte; });
  return it != all.end() && it->low <= byte ? it->target : kDead;
}

bool Dfa::matches(std::string_view text) const {
  if (empty()) return false;
  uint32_t state = 0;
  for (const char c : text) {
    state = step(state, static_cast<uint8_t>(c));
    if (state == kDead) return false;
  }
  return accepting[state];
}

uint32_t DfaBuilder::add_state(bool accepting) {
  accepting_.push_back(accepting);
  edges_.emplace_back();
  return static_cast<uint32_t>(accepting_.size() - 1);
}

void DfaBuilder::add_edge(uint32_t from, uint8_t low, uint8_t high, uint32_t to) {
  auto& edges = edges_[from];
  // Neighbouring ranges that go to one state are one edge.
  if (!edges.empty() && edges.back().target == to && edges.back().high + 1 == low) {
    edges.back().high = high;
  } else {
    edges.push_back({low, high, to});
  }
}

Dfa DfaBuilder::build() const {
  // States that reach an accepting one, backwards.
  std::vector<std::vector<uint32_t>> sources(size());
  for (uint32_t state = 0; state < size(); ++state) {
    for (const Dfa::Edge& edge : edges_[state]) sources[edge.target].push_back(state);
  }
  std::vector<bool> useful(accepting_);
  std::vector<uint32_t> work;
  for (uint32_t state = 0; state < size(); ++state) {
    if (useful[state]) work.push_back(state);
  }
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    for (const uint32_t source : sources[state]) {
      if (useful[source]) continue;
      useful[source] = true;
      work.push_back(source);
    }
  }
  Dfa dfa;
  dfa.first_edge.push_back(0);
  if (size() == 0 || !useful[0]) return dfa;
  std::vector<uint32_t> renamed(size(), Dfa::kDead);
  uint32_t count = 0;
  for (uint32_t state = 0; state < size(); ++state) {
    if (useful[state]) renamed[state] = count++;
  }
  for (uint32_t state = 0; state < size(); ++state) {
    if (!useful[state]) continue;
    const size_t begin = dfa.edges.size();
    for (const Dfa::Edge& edge : edges_[state]) {
      if (useful[edge.target]) dfa.edges.push_back({edge.low, edge.high, renamed[edge.target]});
    }
    std::sort(dfa.edges.begin() + static_cast<ptrdiff_t>(begin), dfa.edges.end(),
              [](const Dfa::Edge& a, const Dfa::Edge& b) { return a.low < b.low; });
    dfa.first_edge.push_back(static_cast<uint32_t>(dfa.edges.size()));
    dfa.accepting.push_back(accepting_[state]);
  }
  return dfa;
}

Dfa dfa_of_texts(std::span<const std::string> texts) {
  std::vector<std::string_view> sorted(texts.begin(), texts.end());
  std::sort(sorted.begin(), sorted.end());
  DfaBuilder builder;
  builder.add_state(false);
  // In order, so that a text shares states with the one before it alone: the path to that one.
  std::vector<uint32_t> path = {0};
  std::string_view before;
  for (const std::string_view text : sorted) {
    const size_t shared = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first - text.begin());
    path.resize(shared + 1);
    for (size_t i = shared; i < text.size(); ++i) {
      const uint32_t next = builder.add_state(false);
      const auto byte = static_cast<uint8_t>(text[i]);
      builder.add_edge(path.back(), byte, byte, next);
      path.push_back(next);
    }
    builder.set_accepting(path.back());
    before = text;
  }
  return builder.build();
}

Dfa intersection(const Dfa& a, const Dfa& b) { return product(a, b, SetOperation::kAnd); }
Dfa difference(const Dfa& a, const Dfa& b) { return product(a, b, SetOperation::kMinus); }
Dfa set_union(const Dfa& a, const Dfa& b) { return product(a, b, SetOperation::kOr); }

Dfa dfa_of_length(uint32_t least, uint32_t most) {
  const bool endless = most == UINT32_MAX;
  const uint32_t last = endless ? least : most;
  if (last > grammar_limits::kMaxDfaStates / 8) fail_states();
  DfaBuilder builder;
  for (uint32_t i = 0; i <= last; ++i) builder.add_state(i >= least);
  for (uint32_t i = 0; i <= last; ++i) {
    if (i == last && !endless) break;
    const uint32_t next = std::min(i + 1, last);
    // Well-formed sequences: the Unicode standard, table 3-7.
    const uint32_t tail1 = builder.add_state(false);
    const uint32_t tail2 = builder.add_state(false);
    const uint32_t tail3 = builder.add_state(false);
    const uint32_t after_e0 = builder.add_state(false);
    const uint32_t after_ed = builder.add_state(false);
    const uint32_t after_f0 = builder.add_state(false);
    const uint32_t after_f4 = builder.add_state(false);
    builder.add_edge(i, 0x00, 0x7F, next);
    builder.add_edge(i, 0xC2, 0xDF, tail1);
    builder.add_edge(i, 0xE0, 0xE0, after_e0);
    builder.add_edge(i, 0xE1, 0xEC, tail2);
    builder.add_edge(i, 0xED, 0xED, after_ed);
    builder.add_edge(i, 0xEE, 0xEF, tail2);
    builder.add_edge(i, 0xF0, 0xF0, after_f0);
    builder.add_edge(i, 0xF1, 0xF3, tail3);
    builder.add_edge(i, 0xF4, 0xF4, after_f4);
    builder.add_edge(tail1, 0x80, 0xBF, next);
    builder.add_edge(tail2, 0x80, 0xBF, tail1);
    builder.add_edge(tail3, 0x80, 0xBF, tail2);
    builder.add_edge(after_e0, 0xA0, 0xBF, tail1);
    builder.add_edge(after_ed, 0x80, 0x9F, tail1);
    builder.add_edge(after_f0, 0x90, 0xBF, tail2);
    builder.add_edge(after_f4, 0x80, 0x8F, tail2);
  }
  return builder.build();
}

LengthRange length_range(const Dfa& dfa) {
  // A byte that begins a code point costs 1, a continuation byte 0. Every cycle has a beginning:
  // valid UTF-8 has no endless run of continuation bytes.
  constexpr uint32_t kUnknown = UINT32_MAX;
  const auto cost = [](const Dfa::Edge& edge) -> uint32_t {
    return edge.low >= 0x80 && edge.low <= 0xBF ? 0 : 1;
  };
  LengthRange range{kUnknown, 0};
  std::vector<uint32_t> least(dfa.size(), kUnknown);
  std::vector<uint32_t> now = {0};
  least[0] = 0;
  for (uint32_t length = 0; !now.empty() && range.least == kUnknown; ++length) {
    std::vector<uint32_t> next;
    for (size_t i = 0; i < now.size(); ++i) {
      if (dfa.accepting[now[i]]) range.least = length;
      for (const Dfa::Edge& edge : dfa.edges_of(now[i])) {
        if (least[edge.target] != kUnknown) continue;
        least[edge.target] = length + cost(edge);
        (cost(edge) == 0 ? now : next).push_back(edge.target);
      }
    }
    now = std::move(next);
  }
  // Longest path, in topological order; trimmed, so any cycle means no end.
  std::vector<uint32_t> indegree(dfa.size(), 0), most(dfa.size(), 0);
  for (const Dfa::Edge& edge : dfa.edges) ++indegree[edge.target];
  std::vector<uint32_t> work;
  if (indegree[0] == 0) work.push_back(0);
  size_t done = 0;
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    ++done;
    if (dfa.accepting[state]) range.most = std::max(range.most, most[state]);
    for (const Dfa::Edge& edge : dfa.edges_of(state)) {
      most[edge.target] = std::max(most[edge.target], most[state] + cost(edge));
      if (--indegree[edge.target] == 0) work.push_back(edge.target);
    }
  }
  if (done < dfa.size()) range.most = UINT32_MAX;
  return range;
}

Dfa json_string_of(const Dfa& value) {
  struct Escape {
    char letter;
    uint8_t byte;
  };
  constexpr Escape kShort[] = {{'"', '"'},  {'\\', '\\'}, {'/', '/'},  {'b', '\b'},
                               {'f', '\f'}, {'n', '\n'},  {'r', '\r'}, {'t', '\t'}};
  constexpr uint8_t kLastControl = 0x1F;
  DfaBuilder builder;
  if (value.empty()) return builder.build();
  const uint32_t begin = builder.add_state(false);
  const uint32_t end = builder.add_state(true);
  const uint32_t first = static_cast<uint32_t>(builder.size());  // value's state s is first + s
  for (size_t s = 0; s < value.size(); ++s) builder.add_state(false);
  builder.add_edge(begin, '"', '"', first);
  for (uint32_t s = 0; s < value.size(); ++s) {
    if (value.accepting[s]) builder.add_edge(first + s, '"', '"', end);
    for (const Dfa::Edge& edge : value.edges_of(s)) {
      int low = edge.low;
      for (const int quoted : {int{'"'}, int{'\\'}, 256}) {
        const int from = std::max(low, kLastControl + 1);
        const int to = std::min<int>(edge.high, quoted - 1);
        if (from <= to) {
          builder.add_edge(first + s, static_cast<uint8_t>(from), static_cast<uint8_t>(to),
                           first + edge.target);
        }
        low = std::max(low, quoted + 1);
      }
    }
    uint32_t escape = Dfa::kDead;  // behind a backslash
    const auto escape_state = [&] {
      if (escape == Dfa::kDead) {
        escape = builder.add_state(false);
        builder.add_edge(first + s, '\\', '\\', escape);
      }
      return escape;
    };
    for (const Escape& one : kShort) {
      const uint32_t target = value.step(s, one.byte);
      if (target == Dfa::kDead) continue;
      const auto letter = static_cast<uint8_t>(one.letter);
      builder.add_edge(escape_state(), letter, letter, first + target);
    }
    const auto edges = value.edges_of(s);
    if (edges.empty() || edges.front().low > kLastControl) continue;
    const uint32_t u = builder.add_state(false);
    const uint32_t zero = builder.add_state(false);
    const uint32_t zeros = builder.add_state(false);
    builder.add_edge(escape_state(), 'u', 'u', u);
    builder.add_edge(u, '0', '0', zero);
    builder.add_edge(zero, '0', '0', zeros);
    for (const int high : {0, 1}) {
      const uint32_t digit = builder.add_state(false);
      builder.add_edge(zeros, static_cast<uint8_t>('0' + high), static_cast<uint8_t>('0' + high),
                       digit);
      for (int low = 0; low < 16; ++low) {
        const uint32_t target = value.step(s, static_cast<uint8_t>(high * 16 + low));
        if (target == Dfa::kDead) continue;
        for (const char base : {'a', 'A'}) {
          if (low < 10 && base == 'A') continue;
          const auto byte = static_cast<uint8_t>(low < 10 ? '0' + low : base + low - 10);
          builder.add_edge(digit, byte, byte, first + target);
        }
      }
    }
  }
  return builder.build();
}

}  // namespace gemma4
