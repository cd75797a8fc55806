// The vocabulary as a trie of bytes, in preorder: built once for a tokenizer, walked for each mask.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lib/text/tokenizer.h"

namespace gemma4 {

/// A string character of JSON that stands for itself: a code point that is not ", \ or a control.
/// Most tokens consist of such characters alone, and most of an answer is made of them, so masks
/// within texts are put together from tables by the number of characters ("plain" below).
class TokenTrie {
 public:
  /// `token_bytes`: of each id; empty: a control token, which no grammar allows. At most 255 bytes
  /// each; longer ones are never allowed.
  explicit TokenTrie(std::span<const std::string_view> token_bytes);
  explicit TokenTrie(const Tokenizer& tokenizer);

  static constexpr uint8_t kNotPlain = 255;

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
  /// When all tokens of the subtree are plain: the number of characters of the longest, else
  /// kNotPlain.
  uint8_t plain_length(size_t node) const { return plain_length_[node]; }

  /// Most characters of a plain token.
  uint32_t longest_plain() const { return static_cast<uint32_t>(plain_masks_.size()) - 1; }
  /// All plain tokens of at most `characters` (at most longest_plain()) characters.
  std::span<const uint64_t> plain_mask(uint32_t characters) const {
    return plain_masks_[characters];
  }

 private:
  std::string bytes_;
  std::vector<uint32_t> offsets_;
  size_t longest_ = 0;
  std::vector<TokenId> sorted_;
  std::vector<uint8_t> byte_, depth_, plain_length_;
  std::vector<uint32_t> end_, first_token_;
  std::vector<std::vector<uint64_t>> plain_masks_;
};

}  // namespace gemma4
