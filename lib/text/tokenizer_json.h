// A checkpoint's tokenizer.json, read and checked component by component.
//
// Gemma's tokenizers are one kind of BPE (spec tokenizer-chat.md, 2.1); anything else is refused
// by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/text/tokenizer.h"

namespace gemma4 {

enum class TokenKind : uint8_t {
  kText,     // an ordinary piece
  kByte,     // <0x00> ... <0xFF>, for characters that are not pieces
  kAdded,    // recognised in every text as a whole, and shown like text
  kControl,  // recognised in trusted text only, never shown
};

/// Two neighbours that become one. A merge's rank is its index; the lowest rank goes first.
struct Merge {
  TokenId left;
  TokenId right;
  TokenId result;
};

/// Move-only: `ids` points into `pieces`.
struct TokenizerFile {
  TokenizerFile() = default;
  TokenizerFile(TokenizerFile&&) = default;
  TokenizerFile& operator=(TokenizerFile&&) = default;

  std::vector<std::string> pieces;  // by id: spellings, with U+2581 for a space; all distinct
  std::vector<TokenKind> kinds;     // by id
  std::unordered_map<std::string_view, TokenId> ids;
  std::vector<Merge> merges;  // distinct; of kText or kAdded pieces only
  TokenId unknown = 0;
  bool adds_bos = false;  // the post-processor puts <bos> first
};

/// `text`: the whole file; `origin`: its name, for errors. Throws Error(kModel).
TokenizerFile parse_tokenizer_json(const std::string& text, std::string_view origin);

}  // namespace gemma4
