// Follows a grammar byte by byte: all ways to read the text so far, as a set of stacks that share
// their tails.
//
// A frame is one entry of a stack: a node of the grammar, how far it is done, and the frame that
// goes on after it. Equal frames are one frame, so that ways that meet again are one way. A state
// is the sorted set of top frames, each a literal or an automaton that waits for a byte;
// kFinished among them says that the text may end here. Frames are only ever added: an earlier
// state stays valid, and going back (a rejected draft) is keeping a copy of it.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "lib/text/grammar/grammar.h"

namespace gemma4 {

class GrammarMatcher {
 public:
  using Frame = uint32_t;
  using State = std::vector<Frame>;  // empty: the text fits no more
  static constexpr Frame kFinished = 0;

  explicit GrammarMatcher(std::shared_ptr<const Grammar> grammar);

  State start();
  /// Throws Error(kUsage) when the text can be read in more than grammar_limits::kMaxStacks ways,
  /// or when the frames of a sequence pass kMaxFrames.
  State step(const State& state, uint8_t byte);
  /// The state after all of `text`.
  State advance(State state, std::string_view text);

  static bool can_end(const State& state) { return !state.empty() && state[0] == kFinished; }
  static bool must_end(const State& state) { return state.size() == 1 && state[0] == kFinished; }

  /// A state of `other` (of the same grammar) as one of this matcher. Counts of repetitions above
  /// `count_limit` become that: for the next `count_limit` bytes this makes no difference, and
  /// states that only differ there become one.
  State import(const GrammarMatcher& other, const State& state, uint32_t count_limit);

  /// cuts[b]: bytes b - 1 and b may lead from `state` to different states; within two cuts, all
  /// bytes lead to one.
  void mark_cuts(const State& state, std::bitset<257>& cuts) const;

  size_t frame_count() const { return frames_.size(); }
  /// Frames visited so far, a measure of work.
  uint64_t work_done() const { return work_done_; }

 private:
  struct Entry {
    GrammarNode node;
    uint32_t a;  // kLiteral: bytes done; kDfa: state; kSequence: parts done; kRepeat: least left
    uint32_t b;  // kRepeat: most left
    Frame next;  // goes on when this is done
    bool operator==(const Entry&) const = default;
  };
  Frame frame(const Entry& entry);
  Frame enter(GrammarNode node, Frame next);
  void settle(State& state);
  void grow_slots();

  std::shared_ptr<const Grammar> grammar_;
  std::vector<Entry> frames_;
  std::vector<Frame> slots_;       // hash table of frames, open addressing; 0: free
  std::vector<uint32_t> visited_;  // by frame: the last round in which it was visited
  uint32_t round_ = 0;
  uint64_t work_done_ = 0;
  std::vector<Frame> work_;  // of settle
};

}  // namespace gemma4
