#include "lib/text/grammar/nfa.h"

#include <algorithm>
#include <array>
#include <map>
#include <tuple>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

[[noreturn]] void fail_size(const char* what) {
  throw Error(ErrorKind::kUsage, std::string("an expression needs too many ") + what, {},
              "make it simpler or its bounds smaller");
}

int utf8_length(char32_t value) {
  return value < 0x80 ? 1 : value < 0x800 ? 2 : value < 0x10000 ? 3 : 4;
}

char32_t greatest_of_length(int length) {
  constexpr std::array<char32_t, 5> kGreatest = {0, 0x7F, 0x7FF, 0xFFFF, kLastCodePoint};
  return kGreatest[static_cast<size_t>(length)];
}

std::array<uint8_t, 4> utf8_bytes(char32_t value, int length) {
  std::array<uint8_t, 4> bytes{};
  if (length == 1) {
    bytes[0] = static_cast<uint8_t>(value);
    return bytes;
  }
  for (int i = length - 1; i > 0; --i, value >>= 6) {
    bytes[static_cast<size_t>(i)] = static_cast<uint8_t>(0x80 | (value & 0x3F));
  }
  bytes[0] = static_cast<uint8_t>((0xF00 >> length) | value);
  return bytes;
}

// Calls `emit` for parts of [low, high], all of one length, in which each byte runs through a
// range of its own. The bits below `shift` are free in the end.
template <typename Emit>
void split_to_byte_ranges(char32_t low, char32_t high, const Emit& emit) {
  const int length = utf8_length(low);
  if (greatest_of_length(length) < high) {
    split_to_byte_ranges(low, greatest_of_length(length), emit);
    split_to_byte_ranges(greatest_of_length(length) + 1, high, emit);
    return;
  }
  for (int i = 1; i < length; ++i) {
    const char32_t mask = (char32_t{1} << (6 * i)) - 1;
    if ((low & ~mask) == (high & ~mask)) continue;
    if ((low & mask) != 0) {
      split_to_byte_ranges(low, low | mask, emit);
      split_to_byte_ranges((low | mask) + 1, high, emit);
      return;
    }
    if ((high & mask) != mask) {
      split_to_byte_ranges(low, (high & ~mask) - 1, emit);
      split_to_byte_ranges(high & ~mask, high, emit);
      return;
    }
  }
  emit(utf8_bytes(low, length), utf8_bytes(high, length), length);
}

}  // namespace

std::vector<CodePointRange> normalized(std::vector<CodePointRange> ranges) {
  std::vector<CodePointRange> apart;
  for (const CodePointRange& range : ranges) {
    // Surrogates are no characters: UTF-8 cannot spell them.
    if (range.low < 0xD800) apart.push_back({range.low, std::min<char32_t>(range.high, 0xD7FF)});
    if (range.high > 0xDFFF) apart.push_back({std::max<char32_t>(range.low, 0xE000), range.high});
  }
  std::sort(apart.begin(), apart.end(),
            [](const CodePointRange& a, const CodePointRange& b) { return a.low < b.low; });
  std::vector<CodePointRange> merged;
  for (const CodePointRange& range : apart) {
    if (!merged.empty() && range.low <= merged.back().high + 1) {
      merged.back().high = std::max(merged.back().high, range.high);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

std::vector<CodePointRange> complement(const std::vector<CodePointRange>& ranges) {
  std::vector<CodePointRange> gaps;
  char32_t next = 0;
  for (const CodePointRange& range : normalized(ranges)) {
    if (range.low > next) gaps.push_back({next, range.low - 1});
    next = range.high + 1;
  }
  if (next <= kLastCodePoint) gaps.push_back({next, kLastCodePoint});
  return normalized(std::move(gaps));
}

uint32_t Nfa::add_state() {
  if (states_.size() >= grammar_limits::kMaxNfaStates) fail_size("states");
  states_.emplace_back();
  return static_cast<uint32_t>(states_.size() - 1);
}

void Nfa::link(uint32_t from, uint32_t to, Assertion assertion) {
  states_[from].links.push_back({to, assertion});
}

Nfa::Part Nfa::code_point(std::span<const CodePointRange> ranges) {
  const Part part{add_state(), add_state()};
  // Built from the last byte to the first, sharing tails: a class has at most a handful of them.
  std::map<std::tuple<uint8_t, uint8_t, uint32_t>, uint32_t> tails;
  for (const CodePointRange& range : ranges) {
    split_to_byte_ranges(range.low, range.high, [&](const auto& low, const auto& high, int length) {
      uint32_t next = part.end;
      for (size_t i = static_cast<size_t>(length) - 1; i > 0; --i) {
        const auto [it, is_new] = tails.try_emplace({low[i], high[i], next}, 0);
        if (is_new) {
          it->second = add_state();
          states_[it->second].edges.push_back({low[i], high[i], next});
        }
        next = it->second;
      }
      states_[part.begin].edges.push_back({low[0], high[0], next});
    });
  }
  return part;
}

Nfa::Part Nfa::concatenation(Part first, Part second) {
  link(first.end, second.begin);
  return {first.begin, second.end};
}

// The states reached from `set` without a byte, sorted; those that only lead on are left out.
// `holds`: the one assertion that is true here. `seen`: a mark per state, `round` not used before.
// Returns how many states were visited.
size_t Nfa::close(std::vector<uint32_t>& set, Assertion holds, uint32_t end,
                  std::vector<uint32_t>& seen, uint32_t round) const {
  std::vector<uint32_t> work;
  for (const uint32_t state : set) {
    if (seen[state] == round) continue;
    seen[state] = round;
    work.push_back(state);
  }
  set.clear();
  size_t visited = 0;
  while (!work.empty()) {
    const uint32_t state = work.back();
    work.pop_back();
    ++visited;
    bool waits = !states_[state].edges.empty() || state == end;
    for (const Link& link : states_[state].links) {
      waits |= link.assertion == Assertion::kTextEnds;
      if (link.assertion != Assertion::kNone && link.assertion != holds) continue;
      if (seen[link.to] == round) continue;
      seen[link.to] = round;
      work.push_back(link.to);
    }
    if (waits) set.push_back(state);
  }
  std::sort(set.begin(), set.end());
  return visited;
}

Dfa Nfa::determinize(Part part) const {
  DfaBuilder builder;
  std::map<std::vector<uint32_t>, uint32_t> ids;
  std::vector<const std::vector<uint32_t>*> sets;
  size_t work_done = 0;
  std::vector<uint32_t> seen(states_.size(), 0);
  uint32_t round = 0;
  const auto closure = [&](std::vector<uint32_t> set, Assertion holds) {
    work_done += close(set, holds, part.end, seen, ++round);
    if (work_done > grammar_limits::kMaxDeterminizeWork) fail_size("steps");
    return set;
  };
  const auto id_of = [&](std::vector<uint32_t> set) {
    const auto [it, is_new] =
        ids.try_emplace(std::move(set), static_cast<uint32_t>(builder.size()));
    if (is_new) {
      if (builder.size() >= grammar_limits::kMaxDfaStates) fail_size("states");
      const auto at_end = closure(it->first, Assertion::kTextEnds);
      builder.add_state(std::binary_search(at_end.begin(), at_end.end(), part.end));
      sets.push_back(&it->first);
    }
    return it->second;
  };
  id_of(closure({part.begin}, Assertion::kTextBegins));
  std::vector<Dfa::Edge> edges;
  for (uint32_t id = 0; id < sets.size(); ++id) {
    edges.clear();
    std::array<bool, 257> cut{};  // where a range of bytes begins
    for (const uint32_t state : *sets[id]) {
      for (const Dfa::Edge& edge : states_[state].edges) {
        edges.push_back(edge);
        cut[edge.low] = cut[edge.high + 1] = true;
      }
    }
    if (edges.empty()) continue;
    std::sort(edges.begin(), edges.end(),
              [](const Dfa::Edge& a, const Dfa::Edge& b) { return a.low < b.low; });
    size_t first = 0;
    for (int low = edges.front().low; low < 256;) {
      int end = low + 1;
      while (end < 256 && !cut[static_cast<size_t>(end)]) ++end;
      while (first < edges.size() && edges[first].high < low) ++first;
      std::vector<uint32_t> targets;
      for (size_t i = first; i < edges.size() && edges[i].low <= low; ++i) {
        if (edges[i].high >= low) targets.push_back(edges[i].target);
        ++work_done;
      }
      if (!targets.empty()) {
        std::sort(targets.begin(), targets.end());
        targets.erase(std::unique(targets.begin(), targets.end()), targets.end());
        const uint32_t to = id_of(closure(std::move(targets), Assertion::kNone));
        builder.add_edge(id, static_cast<uint8_t>(low), static_cast<uint8_t>(end - 1), to);
      }
      low = end;
    }
  }
  return builder.build();
}

}  // namespace gemma4
