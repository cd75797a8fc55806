// Byte-pair encoding by merge rank, for vocabularies that sentencepiece would encode differently.
//
// The algorithm of spec tokenizer-chat.md, 2.2: O(n log n) in the length of the text.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/text/tokenizer_encoder.h"
#include "lib/text/tokenizer_json.h"

namespace gemma4 {

class MergeEncoder : public PlainEncoder {
 public:
  /// `merges`: those of the file, or a part of them.
  MergeEncoder(const TokenizerFile& file, std::span<const Merge> merges);
  void encode(std::string_view text, std::vector<TokenId>& ids) const override;

 private:
  struct Symbols;
  Symbols split(std::string_view text) const;
  /// Rank of the merge of two neighbours; kNone when they do not merge.
  uint32_t rank(TokenId left, TokenId right) const;

  static constexpr uint32_t kNone = UINT32_MAX;
  std::vector<Merge> merges_;
  std::unordered_map<uint64_t, uint32_t> ranks_;  // left << 32 | right
  std::unordered_map<char32_t, TokenId> characters_;
  std::array<TokenId, 256> bytes_{};
};

}  // namespace gemma4
