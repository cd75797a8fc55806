// What a tokenizer keeps of its file, ready for use: small enough to be cached and read at once.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lib/text/tokenizer_json.h"

namespace gemma4 {

struct TokenizerModel {
  std::string bytes;               // what each token stands for, one after the other
  std::vector<uint32_t> offsets;   // token id's bytes: [offsets[id], offsets[id + 1])
  std::vector<TokenKind> kinds;    // by id
  std::vector<uint64_t> joinable;  // sorted: code points (left << 32 | right) adjacent in a piece
  std::string proto;               // the sentencepiece model; empty when none is equivalent
  bool adds_bos = false;
};

/// All but `proto`.
TokenizerModel tokenizer_model(const TokenizerFile& file);

/// The end of the first part of `text` that is at least `least` bytes long and ends where no piece
/// can reach across: encoding the parts one by one gives the ids of the whole (spec 2.5, pitfall
/// 5, read from the vocabulary itself: two characters that are adjacent in no piece never merge).
/// `text`: valid UTF-8.
size_t end_of_part(const TokenizerModel& model, std::string_view text, size_t least);

}  // namespace gemma4
