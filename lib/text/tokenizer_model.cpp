#include "lib/text/tokenizer_model.h"

#include <algorithm>
#include <unordered_set>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

uint64_t pair_key(char32_t left, char32_t right) {
  return static_cast<uint64_t>(left) << 32 | right;
}

std::string token_text(const TokenizerFile& file, size_t id) {
  std::string text = file.pieces[id];
  if (file.kinds[id] == TokenKind::kByte) {
    return std::string(1, static_cast<char>(std::stoi(text.substr(3, 2), nullptr, 16)));
  }
  if (file.kinds[id] != TokenKind::kText) return text;  // matched and shown as it is spelled
  for (size_t at = text.find(kSpaceMark); at != text.npos; at = text.find(kSpaceMark, at + 1)) {
    text.replace(at, kSpaceMark.size(), " ");
  }
  return text;
}

std::vector<uint64_t> joinable_pairs(const TokenizerFile& file) {
  std::unordered_set<uint64_t> pairs;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    if (file.kinds[id] != TokenKind::kText && file.kinds[id] != TokenKind::kAdded) continue;
    std::string_view rest = file.pieces[id];
    CodePoint left = decode_utf8(rest);
    for (rest.remove_prefix(left.length); !rest.empty(); rest.remove_prefix(left.length)) {
      const CodePoint right = decode_utf8(rest);
      pairs.insert(pair_key(left.value, right.value));
      left = right;
    }
  }
  std::vector<uint64_t> sorted(pairs.begin(), pairs.end());
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

}  // namespace

TokenizerModel tokenizer_model(const TokenizerFile& file) {
  TokenizerModel model;
  model.offsets.reserve(file.pieces.size() + 1);
  model.offsets.push_back(0);
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    model.bytes += token_text(file, id);
    model.offsets.push_back(static_cast<uint32_t>(model.bytes.size()));
  }
  model.kinds = file.kinds;
  model.joinable = joinable_pairs(file);
  model.adds_bos = file.adds_bos;
  return model;
}

size_t end_of_part(const TokenizerModel& model, std::string_view text, size_t least) {
  if (least >= text.size()) return text.size();
  const auto character_at = [&](size_t at) {
    CodePoint character = decode_utf8(text.substr(at));
    if (character.value == ' ') character.value = 0x2581;
    return character;
  };
  size_t at = least;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  CodePoint left = character_at(at);
  for (at += left.length; at < text.size(); at += left.length) {
    const CodePoint right = character_at(at);
    if (!std::binary_search(model.joinable.begin(), model.joinable.end(),
                            pair_key(left.value, right.value))) {
      return at;
    }
    left = right;
  }
  return text.size();
}

}  // namespace gemma4
