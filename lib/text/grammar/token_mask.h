// Which tokens a grammar allows next, as the bit mask that sampling takes.
//
// A mask is one walk over the vocabulary's trie with the matcher, kept for the next time that the
// grammar is at the same place. The walk follows a table of the matcher's states that is filled as
// it goes, and leaves out tokens that are runs of letters, say, where any letters may follow: their
// bits come from the trie's tables.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lib/text/grammar/grammar_matcher.h"
#include "lib/text/grammar/token_trie.h"

namespace gemma4 {

/// The masks of one grammar over one vocabulary; shared by all sequences that follow the grammar,
/// on one thread. Keeps at most about 150 MB, then forgets and starts again.
class GrammarMasks {
 public:
  GrammarMasks(std::shared_ptr<const TokenTrie> trie, std::shared_ptr<const Grammar> grammar);

  struct Mask {
    std::vector<uint64_t> words;  // trie().mask_words()
    int64_t count = 0;            // tokens allowed
    TokenId first = -1;           // the lowest of them; -1: none
  };
  /// For `state` of `matcher`, which follows the same grammar. Valid until the next call. Throws
  /// Error(kUsage) past grammar_limits::kMaxMaskWork.
  const Mask& mask(const GrammarMatcher& matcher, const GrammarMatcher::State& state);

  const TokenTrie& trie() const { return *trie_; }
  const std::shared_ptr<const Grammar>& grammar() const { return grammar_; }

 private:
  using StateId = uint32_t;
  // A state of the walk and where its bytes lead, as far as known.
  struct WalkState {
    GrammarMatcher::State frames;
    std::vector<std::pair<uint8_t, StateId>> few;  // before there is a table
    std::vector<StateId> table;                    // [256], or none yet
    std::bitset<257> cuts;                         // with the table
    std::array<StateId, kRunClasses> after_run;    // see after_run()
  };
  struct StateHash {
    size_t operator()(const GrammarMatcher::State& state) const;
  };

  StateId id_of(GrammarMatcher::State frames);
  StateId step(StateId from, uint8_t byte);
  StateId take_step(StateId from, uint8_t byte);
  void make_table(StateId state);
  StateId after_run(StateId state, RunClass run_class);
  bool continues_to(StateId state, int bytes_left, StateId target, uint8_t low, uint8_t high);
  uint32_t run_allowed(StateId state, RunClass run_class);
  Mask walk(StateId start);
  void forget();

  std::shared_ptr<const TokenTrie> trie_;
  std::shared_ptr<const Grammar> grammar_;
  GrammarMatcher matcher_;
  std::vector<WalkState> states_;
  std::unordered_map<GrammarMatcher::State, StateId, StateHash> ids_;
  std::unordered_map<StateId, Mask> masks_;
  uint64_t work_limit_ = 0;  // of matcher_, for the mask at hand
};

/// One sequence that follows a grammar: from the first token of the answer to the stop token.
class TokenConstraint {
 public:
  /// `stop_ids` are allowed where the text may end.
  TokenConstraint(std::shared_ptr<GrammarMasks> masks, std::vector<TokenId> stop_ids);

  size_t mask_words() const { return masks_->trie().mask_words(); }
  /// Sets bit id for each token that may come next (kernels/sampling.h, SampleRow::allowed).
  /// `allowed`: mask_words() words. All zero once a stop token was accepted. Throws Error(kUsage)
  /// when the grammar goes on but no token of the vocabulary fits.
  void fill_mask(std::span<uint64_t> allowed);
  /// The next token of the answer. Throws Error(kInternal) when it is not allowed.
  void accept(TokenId id);
  bool allows(TokenId id);

  /// The text so far fits the grammar as it is.
  bool can_end() const { return ended_ || GrammarMatcher::can_end(state_); }
  /// Nothing but a stop token may follow.
  bool must_end() const { return ended_ || GrammarMatcher::must_end(state_); }
  /// A stop token was accepted.
  bool ended() const { return ended_; }
  /// The one token that is allowed, if there is only one: it needs no forward pass, and sampling
  /// would have chosen it too, so the tokens of the answer stay those that the model would give.
  std::optional<TokenId> forced_token();

  /// A place to come back to when drafted tokens are rejected.
  struct Position {
    GrammarMatcher::State state;
    bool ended;
  };
  Position position() const { return {state_, ended_}; }
  void restore(Position position);

 private:
  bool is_stop(TokenId id) const;

  std::shared_ptr<GrammarMasks> masks_;
  std::vector<TokenId> stop_ids_;
  GrammarMatcher matcher_;
  GrammarMatcher::State state_;
  bool ended_ = false;
};

}  // namespace gemma4
