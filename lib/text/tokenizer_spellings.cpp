#include "lib/text/tokenizer_spellings.h"

#include <algorithm>

namespace gemma4 {

TokenSpellings::TokenSpellings(const TokenizerModel& model) {
  for (size_t id = 0; id < model.kinds.size(); ++id) {
    const bool control = model.kinds[id] == TokenKind::kControl;
    if (!control && model.kinds[id] != TokenKind::kAdded) continue;
    const std::string_view spelling(model.bytes.data() + model.offsets[id],
                                    model.offsets[id + 1] - model.offsets[id]);
    entries_.push_back({spelling, static_cast<TokenId>(id), control});
    first_bytes_.set(static_cast<unsigned char>(spelling[0]));
    match_untrusted_ = match_untrusted_ || !control;
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.spelling < b.spelling; });
}

size_t TokenSpellings::next_candidate(std::string_view text, size_t at) const {
  while (at < text.size() && !first_bytes_[static_cast<unsigned char>(text[at])]) ++at;
  return at;
}

// Narrows the sorted spellings to those that share one more character with the text, as long as
// there are any; those of exactly that length come first in their range.
std::optional<SpellingMatch> TokenSpellings::longest_at(std::string_view text, size_t at,
                                                        size_t trusted_end) const {
  std::optional<SpellingMatch> best;
  auto begin = entries_.begin();
  auto end = entries_.end();
  for (size_t length = 1; at + length <= text.size(); ++length) {
    const auto byte = static_cast<unsigned char>(text[at + length - 1]);
    const auto byte_of = [length](const Entry& entry) {
      return entry.spelling.size() < length
                 ? -1
                 : static_cast<int>(static_cast<unsigned char>(entry.spelling[length - 1]));
    };
    begin = std::partition_point(begin, end, [&](const Entry& e) { return byte_of(e) < byte; });
    end = std::partition_point(begin, end, [&](const Entry& e) { return byte_of(e) == byte; });
    if (begin == end) break;
    if (begin->spelling.size() == length && (!begin->control || at + length <= trusted_end)) {
      best = SpellingMatch{begin->id, length};
    }
  }
  return best;
}

std::optional<TokenId> TokenSpellings::control_id(std::string_view spelling) const {
  const auto found = std::lower_bound(
      entries_.begin(), entries_.end(), spelling,
      [](const Entry& entry, std::string_view wanted) { return entry.spelling < wanted; });
  if (found == entries_.end() || found->spelling != spelling || !found->control) {
    return std::nullopt;
  }
  return found->id;
}

}  // namespace gemma4
