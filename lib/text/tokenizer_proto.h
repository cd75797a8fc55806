// The sentencepiece model that encodes as a tokenizer.json does, where there is one.
//
// Spec tokenizer-chat.md, 2.5. Nothing here needs the sentencepiece library.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/text/tokenizer_json.h"

namespace gemma4 {

/// What the merge list's order leaves to be tried: repetitions of one character whose merges
/// interleave with those of other repetitions.
struct InterleavedRuns {
  std::vector<std::string> characters;  // UTF-8, one code point each
  std::vector<Merge> merges;            // all merges into repetitions of these, in their order
  size_t longest = 0;                   // code points of the longest such piece
};

/// The library orders merges by their result, the file by rank. Both give the same ids when
/// (a) every split of a piece into two pieces is a merge, (b) every result is a piece (known from
/// parsing), (c) merges are grouped by result, or are interleaved repetitions that encode alike,
/// which the caller must try. nullopt: no such model.
std::optional<InterleavedRuns> sentencepiece_equivalent(const TokenizerFile& file);

/// The serialized ModelProto.
std::string sentencepiece_proto(const TokenizerFile& file);

}  // namespace gemma4
