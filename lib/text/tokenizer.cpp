#include "lib/text/tokenizer.h"

#include <algorithm>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/parallel.h"
#include "lib/base/utf8.h"
#include "lib/io/mapped_file.h"
#include "lib/text/tokenizer_cache.h"
#include "lib/text/tokenizer_json.h"
#include "lib/text/tokenizer_merges.h"
#include "lib/text/tokenizer_model.h"
#include "lib/text/tokenizer_proto.h"
#include "lib/text/tokenizer_sentencepiece.h"
#include "lib/text/tokenizer_spellings.h"

namespace gemma4 {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
// An encoder's tables stay in the processor's cache for a part of this size; about 1000 tokens.
constexpr size_t kPartBytes = 4096;
constexpr size_t kMaxTextBytes = size_t{1} << 30;
// A part that cannot be cut takes some 120 times its size of memory, and this much of it is more
// tokens than any context holds.
constexpr size_t kMaxPartBytes = size_t{32} << 20;

// Repetitions of one character encode by rank and in the library alike, up to several times the
// longest piece: check (c) of tokenizer_proto.h where the order of merges does not prove it.
bool runs_agree(const TokenizerFile& file, const InterleavedRuns& runs,
                const PlainEncoder& library) {
  if (runs.characters.empty()) return true;
  const MergeEncoder by_rank(file, runs.merges);
  for (const std::string& character : runs.characters) {
    std::string text;
    for (size_t count = 1; count <= 4 * runs.longest; ++count) {
      text += character;
      std::vector<TokenId> expected, actual;
      by_rank.encode(text, expected);
      library.encode(text, actual);
      if (actual != expected) return false;
    }
  }
  return true;
}

struct Built {
  TokenizerModel model;
  std::unique_ptr<PlainEncoder> encoder;
};

Built build(const std::string& json, const std::string& origin) {
  const TokenizerFile file = parse_tokenizer_json(json, origin);
  Built built;
  built.model = tokenizer_model(file);
  if (const auto runs = sentencepiece_equivalent(file)) {
    std::string proto = sentencepiece_proto(file);
    auto encoder = sentencepiece_encoder(proto);
    if (encoder && runs_agree(file, *runs, *encoder)) {
      built.model.proto = std::move(proto);
      built.encoder = std::move(encoder);
      return built;
    }
  }
  log_debug(origin + ": no equivalent sentencepiece model; encoding by merge rank");
  built.encoder = std::make_unique<MergeEncoder>(file, file.merges);
  return built;
}

std::optional<Built> from_cache(const std::filesystem::path& path) {
  auto model = read_tokenizer_cache(path);
  if (!model) return std::nullopt;
  auto encoder = sentencepiece_encoder(model->proto);
  if (!encoder) return std::nullopt;
  return Built{std::move(*model), std::move(encoder)};
}

// The half-open range of bytes of a maximal run of trusted text.
struct TrustedRun {
  size_t begin;
  size_t end;
};

}  // namespace

struct Tokenizer::Impl {
  explicit Impl(Built built)
      : model(std::move(built.model)), encoder(std::move(built.encoder)), spellings(model) {}

  std::vector<TokenId> encode(std::string_view text, std::span<const TrustedRun> trusted) const;
  void encode_plain(std::string_view text, std::vector<TokenId>& ids) const;

  TokenizerModel model;
  std::unique_ptr<PlainEncoder> encoder;
  TokenSpellings spellings;
};

Tokenizer::Tokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

bool Tokenizer::present(const std::filesystem::path& directory) {
  std::error_code ec;
  return std::filesystem::is_regular_file(directory / "tokenizer.json", ec);
}

std::unique_ptr<Tokenizer> Tokenizer::load(const std::filesystem::path& directory, bool use_cache) {
  const std::filesystem::path path = directory / "tokenizer.json";
  if (!present(directory)) {
    // sentencepiece before 0.2.1 is not safe with model files from outside, and a program cannot
    // ask the library for its version.
    std::error_code ec;
    const bool has_model = std::filesystem::exists(directory / "tokenizer.model", ec);
    throw Error(ErrorKind::kModel, "no tokenizer", path.string(),
                has_model ? "tokenizer.model alone is not enough: add the checkpoint's "
                            "tokenizer.json"
                          : "download the checkpoint's tokenizer.json");
  }
  const MappedFile file(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()),
                               file.bytes().size());
  const std::filesystem::path cache = use_cache ? tokenizer_cache_path(bytes) : "";
  if (auto cached = from_cache(cache)) {
    return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Impl>(std::move(*cached))));
  }
  Built built = build(std::string(bytes), path.string());
  if (!built.model.proto.empty()) write_tokenizer_cache(cache, built.model);
  return std::unique_ptr<Tokenizer>(new Tokenizer(std::make_unique<Impl>(std::move(built))));
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(impl_->model.kinds.size()); }

bool Tokenizer::adds_bos() const { return impl_->model.adds_bos; }

std::vector<TokenId> Tokenizer::encode(std::string_view text, bool parse_specials) const {
  const TrustedRun all = {0, text.size()};
  return impl_->encode(text, std::span(&all, parse_specials ? 1 : 0));
}

std::vector<TokenId> Tokenizer::encode(std::span<const TextSpan> spans) const {
  std::string text;
  std::vector<TrustedRun> trusted;
  for (const TextSpan& span : spans) {
    const size_t begin = text.size();
    text += span.text;
    if (!span.trusted || span.text.empty()) continue;
    if (!trusted.empty() && trusted.back().end == begin) {
      trusted.back().end = text.size();
    } else {
      trusted.push_back({begin, text.size()});
    }
  }
  return impl_->encode(text, trusted);
}

// Spec 2.2, step 2: from left to right, the longest spelling at each place.
std::vector<TokenId> Tokenizer::Impl::encode(std::string_view text,
                                             std::span<const TrustedRun> trusted) const {
  if (text.size() >= kMaxTextBytes) {
    throw Error(ErrorKind::kInput, "text of 1 GiB or more", {}, "split it");
  }
  std::vector<TokenId> ids;
  size_t plain = 0;  // where the text since the last match begins
  size_t at = trusted.empty() && !spellings.match_untrusted() ? text.size() : 0;
  auto run = trusted.begin();
  while ((at = spellings.next_candidate(text, at)) < text.size()) {
    while (run != trusted.end() && run->end <= at) ++run;
    const size_t trusted_end = run != trusted.end() && run->begin <= at ? run->end : 0;
    const auto match = spellings.longest_at(text, at, trusted_end);
    if (!match) {
      ++at;
      continue;
    }
    encode_plain(text.substr(plain, at - plain), ids);
    ids.push_back(match->id);
    at += match->length;
    plain = at;
  }
  encode_plain(text.substr(plain), ids);
  return ids;
}

void Tokenizer::Impl::encode_plain(std::string_view text, std::vector<TokenId>& ids) const {
  std::string repaired;
  if (!is_valid_utf8(text)) {
    repaired = replace_invalid_utf8(text);
    text = repaired;
  }
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    parts.push_back(text.substr(0, end_of_part(model, text, kPartBytes)));
    if (parts.back().size() > kMaxPartBytes) {
      throw Error(ErrorKind::kInput, "text of more than 32 MiB without a break between words", {},
                  "break it into lines");
    }
    text.remove_prefix(parts.back().size());
  }
  if (parts.size() == 1) return encoder->encode(parts[0], ids);
  std::vector<std::vector<TokenId>> part_ids(parts.size());
  parallel_items(static_cast<int64_t>(parts.size()),
                 [&](int64_t i) { encoder->encode(parts[i], part_ids[i]); });
  for (const auto& some : part_ids) ids.insert(ids.end(), some.begin(), some.end());
}

std::optional<TokenId> Tokenizer::control_id(std::string_view spelling) const {
  return impl_->spellings.control_id(spelling);
}

bool Tokenizer::is_control(TokenId id) const {
  return id >= 0 && id < vocab_size() && impl_->model.kinds[id] == TokenKind::kControl;
}

bool Tokenizer::is_byte(TokenId id) const {
  return id >= 0 && id < vocab_size() && impl_->model.kinds[id] == TokenKind::kByte;
}

std::string_view Tokenizer::token_bytes(TokenId id) const {
  if (id < 0 || id >= vocab_size()) {
    throw Error(ErrorKind::kInput, "no such token", "id " + std::to_string(id),
                "ids are 0 to " + std::to_string(vocab_size() - 1));
  }
  const TokenizerModel& model = impl_->model;
  return std::string_view(model.bytes)
      .substr(model.offsets[id], model.offsets[id + 1] - model.offsets[id]);
}

std::string Tokenizer::decode(std::span<const TokenId> ids, bool skip_controls) const {
  std::string text;
  std::string run;  // consecutive byte tokens
  const auto end_run = [&] {
    if (is_valid_utf8(run)) {
      text += run;
    } else {
      for (size_t i = 0; i < run.size(); ++i) text += kReplacement;
    }
    run.clear();
  };
  for (const TokenId id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (is_byte(id)) {
      run += bytes;
      continue;
    }
    end_run();
    if (!skip_controls || !is_control(id)) text += bytes;
  }
  end_run();
  return text;
}

}  // namespace gemma4
