// Finds control tokens and other added tokens spelled out in a text.
#pragma once

#include <bitset>
#include <optional>
#include <string_view>
#include <vector>

#include "lib/text/tokenizer_model.h"

namespace gemma4 {

struct SpellingMatch {
  TokenId id;
  size_t length;
};

class TokenSpellings {
 public:
  /// `model` must outlive the object.
  explicit TokenSpellings(const TokenizerModel& model);

  /// The longest spelling that begins at `text[at]`. A control token must end at `trusted_end` or
  /// before, other added tokens anywhere.
  std::optional<SpellingMatch> longest_at(std::string_view text, size_t at,
                                          size_t trusted_end) const;
  /// The first byte at or after `at` where a spelling may begin.
  size_t next_candidate(std::string_view text, size_t at) const;

  std::optional<TokenId> control_id(std::string_view spelling) const;
  /// Some added token is recognised in any text.
  bool match_untrusted() const { return match_untrusted_; }

 private:
  struct Entry {
    std::string_view spelling;
    TokenId id;
    bool control;
  };
  std::vector<Entry> entries_;  // sorted by spelling
  std::bitset<256> first_bytes_;
  bool match_untrusted_ = false;
};

}  // namespace gemma4
