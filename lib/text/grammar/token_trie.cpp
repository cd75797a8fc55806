#include "lib/text/grammar/token_trie.h"

#include <algorithm>
#include <string>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxTokenBytes = 255;

std::vector<std::string_view> all_bytes(const Tokenizer& tokenizer) {
  std::vector<std::string_view> all(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (!tokenizer.is_control(id)) all[static_cast<size_t>(id)] = tokenizer.token_bytes(id);
  }
  return all;
}

// Characters of a token that is a run of the class; kNoRun for any other.
uint8_t run_length(RunClass run_class, std::string_view bytes) {
  size_t count = 0;
  while (!bytes.empty()) {
    const CodePoint point = decode_utf8(bytes);
    if (point.length == 0 || !in_class(run_class, point.value)) return TokenTrie::kNoRun;
    bytes.remove_prefix(point.length);
    ++count;
  }
  return static_cast<uint8_t>(std::min<size_t>(count, TokenTrie::kNoRun));
}

}  // namespace

bool in_class(RunClass run_class, char32_t character) {
  const bool lower = character >= 'a' && character <= 'z';
  switch (run_class) {
    case RunClass::kLower:
      return lower;
    case RunClass::kLetters:
      return lower || (character >= 'A' && character <= 'Z');
    case RunClass::kPlain:
      return character >= 0x20 && character != '"' && character != '\\';
  }
  return false;
}

TokenTrie::TokenTrie(const Tokenizer& tokenizer) : TokenTrie(all_bytes(tokenizer)) {}

TokenTrie::TokenTrie(std::span<const std::string_view> token_bytes) {
  offsets_.push_back(0);
  for (const std::string_view bytes : token_bytes) {
    if (bytes.size() <= kMaxTokenBytes) bytes_ += bytes;
    offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  }
  for (TokenId id = 0; id < vocab_size(); ++id) {
    if (bytes(id).empty()) continue;
    sorted_.push_back(id);
    longest_ = std::max(longest_, bytes(id).size());
  }
  std::sort(sorted_.begin(), sorted_.end(), [&](TokenId a, TokenId b) {
    const int order = bytes(a).compare(bytes(b));
    return order != 0 ? order < 0 : a < b;
  });

  for (auto& masks : run_masks_) masks.emplace_back(mask_words(), 0);
  std::vector<uint32_t> open;  // the path of nodes to the token before
  std::string_view before;
  for (size_t i = 0; i < sorted_.size(); ++i) {
    const TokenId id = sorted_[i];
    const std::string_view text = bytes(id);
    const size_t shared = static_cast<size_t>(
        std::mismatch(text.begin(), text.end(), before.begin(), before.end()).first - text.begin());
    while (open.size() > shared) {
      end_[open.back()] = static_cast<uint32_t>(byte_.size());
      open.pop_back();
    }
    for (size_t k = shared; k < text.size(); ++k) {
      open.push_back(static_cast<uint32_t>(byte_.size()));
      byte_.push_back(static_cast<uint8_t>(text[k]));
      depth_.push_back(static_cast<uint8_t>(k + 1));
      end_.push_back(0);
      run_lengths_.push_back({});
      first_token_.push_back(static_cast<uint32_t>(i));
    }
    for (size_t c = 0; c < kRunClasses; ++c) {
      const uint8_t length = run_length(static_cast<RunClass>(c), text);
      for (const uint32_t node : open) {
        run_lengths_[node][c] = std::max(run_lengths_[node][c], length);
      }
      if (length == kNoRun) continue;
      auto& masks = run_masks_[c];
      while (masks.size() <= length) masks.emplace_back(mask_words(), 0);
      masks[length][static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
    before = text;
  }
  for (const uint32_t node : open) end_[node] = static_cast<uint32_t>(byte_.size());
  first_token_.push_back(static_cast<uint32_t>(sorted_.size()));
  for (auto& masks : run_masks_) {
    for (size_t k = 1; k < masks.size(); ++k) {
      for (size_t word = 0; word < mask_words(); ++word) masks[k][word] |= masks[k - 1][word];
    }
  }
}

std::string_view TokenTrie::bytes(TokenId id) const {
  const auto i = static_cast<size_t>(id);
  return std::string_view(bytes_).substr(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

}  // namespace gemma4
