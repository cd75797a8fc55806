// Text <-> token ids, from a checkpoint's tokenizer.json.
//
// The BPE runs in the sentencepiece library on an equivalent model that is built from the JSON
// (spec tokenizer-chat.md, 2.5) and cached; control tokens are split off before it sees the text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace gemma4 {

using TokenId = int32_t;

/// A run of text from one origin. Only trusted text (a template's own characters) may spell
/// control tokens; the same spelling in untrusted text stays ordinary text.
struct TextSpan {
  std::string text;
  bool trusted = false;
};

/// Immutable: any number of threads may use it at once.
class Tokenizer {
 public:
  /// Loads `directory`/tokenizer.json. Throws Error(kModel) when it is missing, malformed, or uses
  /// a component that Gemma's tokenizers do not have (each named). tokenizer.model is never read.
  /// `use_cache`: keep the built model under $XDG_CACHE_HOME/gemma4 (else ~/.cache/gemma4).
  static std::unique_ptr<Tokenizer> load(const std::filesystem::path& directory,
                                         bool use_cache = true);
  /// True when the directory has the files that `load` needs.
  static bool present(const std::filesystem::path& directory);

  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Number of ids, control tokens included: ids are 0 ... vocab_size()-1.
  int64_t vocab_size() const;

  /// Ids of one text; `parse_specials`: spellings of control tokens become those tokens.
  /// Nothing is added (no BOS). Invalid UTF-8 counts as U+FFFD.
  std::vector<TokenId> encode(std::string_view text, bool parse_specials) const;

  /// Ids of spans tokenised together: neighbours merge across span borders exactly as if the
  /// whole text had been one, except that a control token is recognised only where all of its
  /// characters are trusted and belong together.
  std::vector<TokenId> encode(std::span<const TextSpan> spans) const;

  /// The id of a control token by its spelling, e.g. "<|turn>".
  std::optional<TokenId> control_id(std::string_view spelling) const;
  bool is_control(TokenId id) const;

  /// The bytes that a token stands for: U+2581 as a space, a byte token as its byte, a control
  /// token as its spelling. Throws Error(kInput) for an id out of range.
  std::string_view token_bytes(TokenId id) const;
  /// True for the 256 byte-fallback tokens.
  bool is_byte(TokenId id) const;

  /// Text of complete output, as the official decoder gives it: a run of byte tokens that is not
  /// valid UTF-8 as a whole gives one U+FFFD per byte.
  std::string decode(std::span<const TokenId> ids, bool skip_controls) const;

  /// True when the file's own post-processor puts BOS first (base models' files do).
  bool adds_bos() const;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

/// Streaming detokenisation: what `push` returns is always valid UTF-8, and everything pushed has
/// been returned once `finish` was called.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive the decoder. Control tokens give no text.
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(TokenId id);
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;  // bytes of an unfinished UTF-8 sequence, at most 3
};

}  // namespace gemma4
