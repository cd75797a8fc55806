#include "lib/text/tokenizer_merges.h"

#include <queue>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

constexpr char32_t kSpaceMark = 0x2581;

uint64_t pair_key(TokenId left, TokenId right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// A merge that was possible when it was queued. Ordered by rank, then from left to right.
struct Candidate {
  uint32_t rank;
  int32_t left;  // symbol
  bool operator>(const Candidate& other) const {
    return rank != other.rank ? rank > other.rank : left > other.left;
  }
};

}  // namespace

// A doubly linked list in arrays; a symbol that was merged into its left neighbour has the id -1.
struct MergeEncoder::Symbols {
  std::vector<TokenId> ids;
  std::vector<int32_t> previous;
  std::vector<int32_t> next;
};

MergeEncoder::MergeEncoder(const TokenizerFile& file, std::span<const Merge> merges)
    : merges_(merges.begin(), merges.end()) {
  ranks_.reserve(merges_.size());
  for (uint32_t rank = 0; rank < merges_.size(); ++rank) {
    ranks_.emplace(pair_key(merges_[rank].left, merges_[rank].right), rank);
  }
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    const std::string& piece = file.pieces[id];
    if (file.kinds[id] == TokenKind::kByte) {
      const int byte = std::stoi(piece.substr(3, 2), nullptr, 16);
      bytes_[byte] = static_cast<TokenId>(id);
    } else if (file.kinds[id] != TokenKind::kControl) {
      const CodePoint character = decode_utf8(piece);
      if (character.length == piece.size()) {
        characters_.emplace(character.value, static_cast<TokenId>(id));
      }
    }
  }
}

uint32_t MergeEncoder::rank(TokenId left, TokenId right) const {
  const auto found = ranks_.find(pair_key(left, right));
  return found == ranks_.end() ? kNone : found->second;
}

MergeEncoder::Symbols MergeEncoder::split(std::string_view text) const {
  Symbols symbols;
  symbols.ids.reserve(text.size());
  while (!text.empty()) {
    const CodePoint character = decode_utf8(text);
    const auto found = characters_.find(character.value == ' ' ? kSpaceMark : character.value);
    if (found != characters_.end()) {
      symbols.ids.push_back(found->second);
    } else {
      for (const char byte : text.substr(0, character.length)) {
        symbols.ids.push_back(bytes_[static_cast<unsigned char>(byte)]);
      }
    }
    text.remove_prefix(character.length);
  }
  const auto count = static_cast<int32_t>(symbols.ids.size());
  symbols.previous.resize(count);
  symbols.next.resize(count);
  for (int32_t i = 0; i < count; ++i) {
    symbols.previous[i] = i - 1;
    symbols.next[i] = i + 1 == count ? -1 : i + 1;
  }
  return symbols;
}

void MergeEncoder::encode(std::string_view text, std::vector<TokenId>& ids) const {
  Symbols symbols = split(text);
  std::vector<Candidate> candidates;
  const auto candidate_at = [&](int32_t left) -> Candidate {
    if (left < 0 || symbols.next[left] < 0) return {kNone, left};
    return {rank(symbols.ids[left], symbols.ids[symbols.next[left]]), left};
  };
  for (int32_t i = 0; i < static_cast<int32_t>(symbols.ids.size()); ++i) {
    const Candidate candidate = candidate_at(i);
    if (candidate.rank != kNone) candidates.push_back(candidate);
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue(
      std::greater<>(), std::move(candidates));
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    const Merge& merge = merges_[best.rank];
    const int32_t right = symbols.next[best.left];
    // Stale: one of the two has merged with something else since.
    if (symbols.ids[best.left] != merge.left || right < 0 || symbols.ids[right] != merge.right) {
      continue;
    }
    symbols.ids[best.left] = merge.result;
    symbols.ids[right] = -1;
    symbols.next[best.left] = symbols.next[right];
    if (symbols.next[right] >= 0) symbols.previous[symbols.next[right]] = best.left;
    for (const int32_t left : {symbols.previous[best.left], best.left}) {
      const Candidate candidate = candidate_at(left);
      if (candidate.rank != kNone) queue.push(candidate);
    }
  }
  for (const TokenId id : symbols.ids) {
    if (id >= 0) ids.push_back(id);
  }
}

}  // namespace gemma4
