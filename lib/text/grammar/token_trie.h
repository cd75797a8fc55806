// The vocabulary as a trie of bytes, in preorder: built once for a tokenizer, walked for each mask.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Sets of characters that grammars often allow any run of. Most tokens are a run of one of these,
/// so the masks of such places are put together from tables by the number of characters.
enum class RunClass : size_t {
  kLower,    // a to z
  kLetters,  // a to z, A to Z
  kPlain,    // characters that stand for themselves in a JSON string: no control, not ", not "\"
};
inline constexpr size_t kRunClasses = 3;
bool in_class(RunClass run_class, char32_t character);

class TokenTrie {
 public:
  /// `token_bytes`: of each id; empty: a control token, which no grammar allows. At most 255 bytes
  /// each; longer ones are never allowed.
  explicit TokenTrie(std::span<const std::string_view> token_bytes);
  explicit TokenTrie(const Tokenizer& tokenizer);

  static constexpr uint8_t kNoRun = 255;

  int64_t vocab_size() const { return static_cast<int64_t>(offsets_.size()) - 1; }
  /// 64-bit words of a mask: one bit an id, lowest first.
  size_t mask_words() const { return (static_cast<size_t>(vocab_size()) + 63) / 64; }
  size_t longest_token() const { return longest_; }
  /// Owned by the trie; empty for control tokens.
  std::string_view bytes(TokenId id) const;

  // Nodes in preorder; a node's subtree is [node, end(node)).
  size_t node_count() const { return byte_.size(); }
  uint8_t byte(size_t node) const { return byte_[node]; }
  uint8_t depth(size_t node) const { return depth_[node]; }  // 1: the first byte of a token
  uint32_t end(size_t node) const { return end_[node]; }
  /// The ids that end at this node.
  std::span<const TokenId> tokens(size_t node) const {
    return std::span(sorted_).subspan(first_token_[node],
                                      first_token_[node + 1] - first_token_[node]);
  }
  /// By class: when all tokens of the subtree are runs of it, the number of characters of the
  /// longest, else kNoRun.
  const std::array<uint8_t, kRunClasses>& run_lengths(size_t node) const {
    return run_lengths_[node];
  }

  /// Most characters of a token that is a run of the class.
  uint32_t longest_run(RunClass run_class) const {
    return static_cast<uint32_t>(run_masks_[static_cast<size_t>(run_class)].size()) - 1;
  }
  /// All runs of the class of at most `characters` (at most longest_run()) characters.
  std::span<const uint64_t> run_mask(RunClass run_class, uint32_t characters) const {
    return run_masks_[static_cast<size_t>(run_class)][characters];
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> offsets_;
  size_t longest_ = 0;
  std::vector<TokenId> sorted_;
  std::vector<uint8_t> byte_, depth_;
  std::vector<std::array<uint8_t, kRunClasses>> run_lengths_;
  std::vector<uint32_t> end_, first_token_;
  std::array<std::vector<std::vector<uint64_t>>, kRunClasses> run_masks_;  // [class][characters]
};

}  // namespace gemma4
