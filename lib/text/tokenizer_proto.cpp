#include "lib/text/tokenizer_proto.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <set>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

// Protocol buffer wire format: just what a ModelProto needs.
class ProtoWriter {
 public:
  void integer(uint32_t field, uint64_t value) {
    varint(field << 3 | 0);
    varint(value);
  }
  void real(uint32_t field, float value) {
    varint(field << 3 | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) out_ += static_cast<char>(bits >> shift & 0xFF);
  }
  void bytes(uint32_t field, std::string_view value) {
    varint(field << 3 | 2);
    varint(value.size());
    out_ += value;
  }
  void clear() { out_.clear(); }
  const std::string& text() const { return out_; }

 private:
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  std::string out_;
};

bool is_single_character(std::string_view piece) {
  return decode_utf8(piece).length == piece.size();
}

std::string_view first_character(std::string_view piece) {
  return piece.substr(0, decode_utf8(piece).length);
}

bool is_run(std::string_view piece) {
  const std::string_view character = first_character(piece);
  for (size_t i = 0; i < piece.size(); i += character.size()) {
    if (piece.substr(i, character.size()) != character) return false;
  }
  return true;
}

// The library never joins these, and takes them for pieces of their own.
bool is_plain(const TokenizerFile& file, TokenId id) {
  return (file.kinds[id] == TokenKind::kText || file.kinds[id] == TokenKind::kAdded) &&
         id != file.unknown;
}

// Check (a). Merges are distinct splits of their results, so that as many splits as merges means
// the same set.
bool has_every_split(const TokenizerFile& file) {
  size_t splits = 0;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    if (!is_plain(file, static_cast<TokenId>(id))) continue;
    const std::string_view piece = file.pieces[id];
    size_t left = decode_utf8(piece).length;
    for (; left < piece.size(); left += decode_utf8(piece.substr(left)).length) {
      const auto first = file.ids.find(piece.substr(0, left));
      if (first == file.ids.end() || !is_plain(file, first->second)) continue;
      const auto second = file.ids.find(piece.substr(left));
      if (second != file.ids.end() && is_plain(file, second->second)) ++splits;
    }
  }
  return splits == file.merges.size();
}

// Check (c).
std::optional<InterleavedRuns> interleaved_runs(const TokenizerFile& file) {
  constexpr size_t kUnseen = SIZE_MAX;
  std::vector<size_t> first(file.pieces.size(), kUnseen);
  // Within these ranks, some merges are not beside the others with their result.
  size_t begin = file.merges.size(), end = 0;
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const TokenId result = file.merges[rank].result;
    if (first[result] == kUnseen) {
      first[result] = rank;
    } else if (file.merges[rank - 1].result != result) {
      begin = std::min(begin, first[result]);
      end = rank + 1;
    }
  }
  InterleavedRuns runs;
  std::set<std::string_view> characters;
  for (size_t rank = begin; rank < end; ++rank) {
    const std::string_view piece = file.pieces[file.merges[rank].result];
    if (!is_run(piece)) return std::nullopt;
    characters.insert(first_character(piece));
  }
  if (characters.empty()) return runs;
  for (const Merge& merge : file.merges) {
    const std::string_view piece = file.pieces[merge.result];
    const std::string_view character = first_character(piece);
    if (!is_run(piece) || !characters.contains(character)) continue;
    runs.merges.push_back(merge);
    runs.longest = std::max(runs.longest, piece.size() / character.size());
  }
  // More than a tokenizer has any reason for, and more than is quickly tried.
  if (characters.size() > 16 || runs.longest > 256) return std::nullopt;
  runs.characters.assign(characters.begin(), characters.end());
  return runs;
}

// The piece's place in the order of first merges, counted down from -1; 0 without a merge.
std::vector<float> scores(const TokenizerFile& file) {
  std::vector<float> result(file.pieces.size(), 0.0f);
  float next = -1.0f;
  for (const Merge& merge : file.merges) {
    if (result[merge.result] == 0.0f) result[merge.result] = next--;
  }
  return result;
}

}  // namespace

std::optional<InterleavedRuns> sentencepiece_equivalent(const TokenizerFile& file) {
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    // The library would take such a character in any text for the control token.
    if (file.kinds[id] == TokenKind::kControl && is_single_character(file.pieces[id])) {
      return std::nullopt;
    }
  }
  for (const Merge& merge : file.merges) {
    for (const TokenId id : {merge.left, merge.right, merge.result}) {
      if (!is_plain(file, id)) return std::nullopt;
    }
  }
  if (!has_every_split(file)) return std::nullopt;
  return interleaved_runs(file);
}

// Field numbers and enum values: sentencepiece_model.proto.
std::string sentencepiece_proto(const TokenizerFile& file) {
  constexpr int kNormal = 1, kUnknown = 2, kControl = 3, kByte = 6;
  const std::vector<float> score = scores(file);
  ProtoWriter model, part;
  for (size_t id = 0; id < file.pieces.size(); ++id) {
    int type = kNormal;
    if (file.kinds[id] == TokenKind::kControl) type = kControl;
    if (file.kinds[id] == TokenKind::kByte) type = kByte;
    if (static_cast<TokenId>(id) == file.unknown) type = kUnknown;
    part.clear();
    part.bytes(1, file.pieces[id]);
    part.real(2, score[id]);
    part.integer(3, type);
    model.bytes(1, part.text());
  }
  part.clear();        // trainer_spec
  part.integer(3, 2);  // model_type: BPE
  part.integer(4, file.pieces.size());
  part.integer(35, 1);  // byte_fallback
  part.integer(40, static_cast<uint64_t>(file.unknown));
  part.bytes(45, file.pieces[file.unknown]);
  model.bytes(2, part.text());
  part.clear();  // normalizer_spec
  part.bytes(1, "identity");
  part.integer(3, 0);  // add_dummy_prefix: the default is true
  part.integer(4, 0);  // remove_extra_whitespaces: the default is true
  part.integer(5, 1);  // escape_whitespaces
  model.bytes(3, part.text());
  return model.text();
}

}  // namespace gemma4
