#include "lib/text/grammar/token_mask.h"

#include <algorithm>
#include <bit>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

constexpr uint32_t kUnknown = UINT32_MAX;
constexpr uint32_t kNoState = UINT32_MAX - 1;  // after_run: not one and the same state
constexpr uint32_t kDeadState = 0;             // the empty state
constexpr size_t kMaxFew = 8;
// Kept between masks: about 1.2 KB a state, 32 KB a mask, 30 bytes a frame.
constexpr size_t kMaxKeptStates = 50000;
constexpr size_t kMaxKeptMasks = 1024;
constexpr size_t kMaxKeptFrames = 1000000;
constexpr size_t kMaxWalkStates = 500000;  // while one mask is made

}  // namespace

size_t GrammarMasks::StateHash::operator()(const GrammarMatcher::State& state) const {
  uint64_t hash = state.size();
  for (const GrammarMatcher::Frame f : state) {
    hash = (hash ^ f) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return static_cast<size_t>(hash);
}

GrammarMasks::GrammarMasks(std::shared_ptr<const TokenTrie> trie,
                           std::shared_ptr<const Grammar> grammar)
    : trie_(std::move(trie)), grammar_(std::move(grammar)), matcher_(grammar_) {
  forget();
}

void GrammarMasks::forget() {
  matcher_ = GrammarMatcher(grammar_);
  states_.clear();
  ids_.clear();
  masks_.clear();
  id_of({});
}

GrammarMasks::StateId GrammarMasks::id_of(GrammarMatcher::State frames) {
  const auto [it, is_new] =
      ids_.try_emplace(std::move(frames), static_cast<StateId>(states_.size()));
  if (is_new) {
    states_.emplace_back();
    states_.back().frames = it->first;
    states_.back().after_run.fill(kUnknown);
  }
  return it->second;
}

GrammarMasks::StateId GrammarMasks::step(StateId from, uint8_t byte) {
  const WalkState& state = states_[from];
  if (!state.table.empty()) {
    const StateId to = state.table[byte];
    return to != kUnknown ? to : take_step(from, byte);
  }
  for (const auto& [known, to] : state.few) {
    if (known == byte) return to;
  }
  return take_step(from, byte);
}

GrammarMasks::StateId GrammarMasks::take_step(StateId from, uint8_t byte) {
  const StateId to = id_of(matcher_.step(states_[from].frames, byte));
  if (matcher_.work_done() > work_limit_ || states_.size() > kMaxWalkStates) {
    throw Error(ErrorKind::kUsage, "the grammar is too ambiguous to follow", {}, "make it simpler");
  }
  WalkState& state = states_[from];
  if (state.table.empty() && state.few.size() < kMaxFew) {
    state.few.emplace_back(byte, to);
    return to;
  }
  make_table(from);
  size_t low = byte, end = byte + size_t{1};
  while (low > 0 && !state.cuts[low]) --low;
  while (end < 256 && !state.cuts[end]) ++end;
  std::fill(state.table.begin() + static_cast<ptrdiff_t>(low),
            state.table.begin() + static_cast<ptrdiff_t>(end), to);
  return to;
}

void GrammarMasks::make_table(StateId id) {
  WalkState& state = states_[id];
  if (!state.table.empty()) return;
  state.table.assign(256, kUnknown);
  matcher_.mark_cuts(state.frames, state.cuts);
  for (const auto& [byte, to] : state.few) state.table[byte] = to;
  state.few = {};
}

// The state that follows `from` whichever character of the class comes, or kNoState when one of
// them is not allowed or they lead to several states.
GrammarMasks::StateId GrammarMasks::after_run(StateId from, RunClass run_class) {
  const auto index = static_cast<size_t>(run_class);
  if (states_[from].after_run[index] != kUnknown) return states_[from].after_run[index];
  make_table(from);
  const StateId target = step(from, 'a');  // in all classes
  bool same = target != kDeadState;
  for (int byte = 0; byte < 0x80 && same; ++byte) {
    if (!in_class(run_class, static_cast<char32_t>(byte))) continue;
    same = step(from, static_cast<uint8_t>(byte)) == target;
  }
  // Well-formed sequences: the Unicode standard, table 3-7.
  struct Lead {
    uint8_t low, high;
    int bytes_left;
    uint8_t next_low, next_high;
  };
  constexpr Lead kLeads[] = {{0xC2, 0xDF, 1, 0x80, 0xBF}, {0xE0, 0xE0, 2, 0xA0, 0xBF},
                             {0xE1, 0xEC, 2, 0x80, 0xBF}, {0xED, 0xED, 2, 0x80, 0x9F},
                             {0xEE, 0xEF, 2, 0x80, 0xBF}, {0xF0, 0xF0, 3, 0x90, 0xBF},
                             {0xF1, 0xF3, 3, 0x80, 0xBF}, {0xF4, 0xF4, 3, 0x80, 0x8F}};
  for (const Lead& lead : kLeads) {
    if (run_class != RunClass::kPlain) break;
    StateId before = kUnknown;
    for (int byte = lead.low; byte <= lead.high && same; ++byte) {
      const StateId next = step(from, static_cast<uint8_t>(byte));
      if (next == before) continue;
      before = next;
      same = continues_to(next, lead.bytes_left, target, lead.next_low, lead.next_high);
    }
  }
  return states_[from].after_run[index] = same ? target : kNoState;
}

bool GrammarMasks::continues_to(StateId state, int bytes_left, StateId target, uint8_t low,
                                uint8_t high) {
  if (bytes_left == 0) return state == target;
  if (state == kDeadState) return false;
  make_table(state);
  StateId before = kUnknown;
  for (int byte = low; byte <= high; ++byte) {
    const StateId next = step(state, static_cast<uint8_t>(byte));
    if (next == before) continue;
    before = next;
    if (!continues_to(next, bytes_left - 1, target, 0x80, 0xBF)) return false;
  }
  return true;
}

// How many characters of the class may follow, whichever they are; at most longest_run().
uint32_t GrammarMasks::run_allowed(StateId state, RunClass run_class) {
  const uint32_t longest = trie_->longest_run(run_class);
  for (uint32_t count = 0; count < longest; ++count) {
    const StateId next = after_run(state, run_class);
    if (next == kNoState) return count;
    if (next == state) break;
    state = next;
  }
  return longest;
}

GrammarMasks::Mask GrammarMasks::walk(StateId start) {
  Mask mask;
  mask.words.assign(trie_->mask_words(), 0);
  std::array<uint32_t, kRunClasses> allowed;
  for (size_t c = 0; c < kRunClasses; ++c) {
    const auto run_class = static_cast<RunClass>(c);
    allowed[c] = run_allowed(start, run_class);
    if (allowed[c] == 0) continue;
    const auto runs = trie_->run_mask(run_class, allowed[c]);
    for (size_t i = 0; i < runs.size(); ++i) mask.words[i] |= runs[i];
  }
  std::vector<StateId> path(trie_->longest_token() + 1, kDeadState);  // by depth
  path[0] = start;
  for (size_t node = 0; node < trie_->node_count();) {
    const auto& runs = trie_->run_lengths(node);
    if (runs[0] <= allowed[0] || runs[1] <= allowed[1] || runs[2] <= allowed[2]) {
      node = trie_->end(node);  // all of them are set already
      continue;
    }
    const uint8_t depth = trie_->depth(node);
    const StateId state = step(path[depth - size_t{1}], trie_->byte(node));
    if (state == kDeadState) {
      node = trie_->end(node);
      continue;
    }
    path[depth] = state;
    for (const TokenId id : trie_->tokens(node)) {
      mask.words[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
    ++node;
  }
  for (size_t i = 0; i < mask.words.size(); ++i) {
    mask.count += std::popcount(mask.words[i]);
    if (mask.first < 0 && mask.words[i] != 0) {
      mask.first = static_cast<TokenId>(i * 64) + std::countr_zero(mask.words[i]);
    }
  }
  return mask;
}

const GrammarMasks::Mask& GrammarMasks::mask(const GrammarMatcher& matcher,
                                             const GrammarMatcher::State& state) {
  if (states_.size() > kMaxKeptStates || masks_.size() > kMaxKeptMasks ||
      matcher_.frame_count() > kMaxKeptFrames) {
    forget();
  }
  const auto count_limit = static_cast<uint32_t>(trie_->longest_token()) + 1;
  const StateId id = id_of(matcher_.import(matcher, state, count_limit));
  const auto known = masks_.find(id);
  if (known != masks_.end()) return known->second;
  work_limit_ = matcher_.work_done() + grammar_limits::kMaxMaskWork;
  return masks_.emplace(id, walk(id)).first->second;
}

TokenConstraint::TokenConstraint(std::shared_ptr<GrammarMasks> masks, std::vector<TokenId> stop_ids)
    : masks_(std::move(masks)), stop_ids_(std::move(stop_ids)), matcher_(masks_->grammar()) {
  std::sort(stop_ids_.begin(), stop_ids_.end());
  stop_ids_.erase(std::unique(stop_ids_.begin(), stop_ids_.end()), stop_ids_.end());
  for (const TokenId id : stop_ids_) {
    if (id < 0 || id >= masks_->trie().vocab_size()) {
      throw Error(ErrorKind::kModel, "no such stop token", "id " + std::to_string(id));
    }
  }
  state_ = matcher_.start();
}

bool TokenConstraint::is_stop(TokenId id) const {
  return std::binary_search(stop_ids_.begin(), stop_ids_.end(), id);
}

void TokenConstraint::fill_mask(std::span<uint64_t> allowed) {
  if (allowed.size() != mask_words()) {
    throw Error(ErrorKind::kInternal, "a token mask of the wrong size");
  }
  if (ended_) {
    std::fill(allowed.begin(), allowed.end(), 0);
    return;
  }
  const GrammarMasks::Mask& mask = masks_->mask(matcher_, state_);
  if (mask.count == 0 && (!can_end() || stop_ids_.empty())) {
    throw Error(ErrorKind::kUsage, "no token of the vocabulary continues the grammar");
  }
  std::copy(mask.words.begin(), mask.words.end(), allowed.begin());
  for (const TokenId id : stop_ids_) {
    const uint64_t bit = uint64_t{1} << (id % 64);
    uint64_t& word = allowed[static_cast<size_t>(id) / 64];
    word = can_end() ? word | bit : word & ~bit;
  }
}

bool TokenConstraint::allows(TokenId id) {
  if (ended_ || id < 0 || id >= masks_->trie().vocab_size()) return false;
  if (is_stop(id)) return can_end();
  const std::string_view bytes = masks_->trie().bytes(id);
  return !bytes.empty() && !matcher_.advance(state_, bytes).empty();
}

void TokenConstraint::accept(TokenId id) {
  if (!allows(id)) {
    throw Error(ErrorKind::kInternal, "a token that the grammar does not allow",
                "id " + std::to_string(id));
  }
  if (is_stop(id)) {
    ended_ = true;
  } else {
    state_ = matcher_.advance(state_, masks_->trie().bytes(id));
  }
}

std::optional<TokenId> TokenConstraint::forced_token() {
  if (ended_) return std::nullopt;
  const GrammarMasks::Mask& mask = masks_->mask(matcher_, state_);
  if (can_end()) {
    const bool one = mask.count == 0 && stop_ids_.size() == 1;
    return one ? std::optional(stop_ids_.front()) : std::nullopt;
  }
  return mask.count == 1 ? std::optional(mask.first) : std::nullopt;
}

void TokenConstraint::restore(Position position) {
  state_ = std::move(position.state);
  ended_ = position.ended;
}

}  // namespace gemma4
