#include "lib/text/tokenizer_cache.h"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>

#include "lib/base/checked.h"
#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/atomic_file.h"
#include "lib/io/json.h"
#include "lib/text/content_hash.h"

namespace gemma4 {
namespace {

// Magic, then the hash of all that follows, then the header, then the arrays in its order. Raise
// the number in the magic whenever the layout or the way a model is built changes.
constexpr std::string_view kMagic = "G4TOK001";
constexpr size_t kHashedFrom = 16;

struct Header {
  uint64_t tokens;
  uint64_t bytes;
  uint64_t joinable;
  uint64_t proto;
  uint64_t adds_bos;
};

template <typename T>
std::string_view as_bytes(const T& array) {
  using Item = typename T::value_type;
  static_assert(std::is_trivially_copyable_v<Item>);
  return {reinterpret_cast<const char*>(array.data()), array.size() * sizeof(Item)};
}

// Takes `count` items off the front of `rest`; false when it is shorter.
template <typename T>
bool take(std::string_view& rest, uint64_t count, T& array) {
  const auto size = checked_multiply(count, sizeof(typename T::value_type));
  if (!size || *size > rest.size()) return false;
  array.resize(count);
  if (*size != 0) std::memcpy(array.data(), rest.data(), *size);
  rest.remove_prefix(*size);
  return true;
}

bool is_consistent(const TokenizerModel& model) {
  if (model.offsets.front() != 0 || model.offsets.back() != model.bytes.size()) return false;
  for (size_t id = 0; id < model.kinds.size(); ++id) {
    if (model.offsets[id] > model.offsets[id + 1]) return false;
    if (model.kinds[id] > TokenKind::kControl) return false;
  }
  return true;
}

std::optional<TokenizerModel> parse_cache(std::string_view file) {
  Header header;
  if (file.size() < kHashedFrom + sizeof header || !file.starts_with(kMagic)) return std::nullopt;
  uint64_t stored_hash;
  std::memcpy(&stored_hash, file.data() + kMagic.size(), sizeof stored_hash);
  if (content_hash(file.substr(kHashedFrom)) != stored_hash) return std::nullopt;
  std::memcpy(&header, file.data() + kHashedFrom, sizeof header);
  std::string_view rest = file.substr(kHashedFrom + sizeof header);
  const auto offsets = checked_add(header.tokens, 1);
  TokenizerModel model;
  if (!offsets || !take(rest, *offsets, model.offsets) || !take(rest, header.tokens, model.kinds) ||
      !take(rest, header.bytes, model.bytes) || !take(rest, header.joinable, model.joinable) ||
      !take(rest, header.proto, model.proto) || !rest.empty() || !is_consistent(model)) {
    return std::nullopt;
  }
  model.adds_bos = header.adds_bos != 0;
  return model;
}

}  // namespace

std::filesystem::path tokenizer_cache_path(std::string_view tokenizer_json) {
  // The XDG base directory specification: a relative path counts as unset.
  std::filesystem::path base;
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache != nullptr) base = cache;
  if (!base.is_absolute()) {
    const char* home = std::getenv("HOME");
    base = home == nullptr || *home == '\0' ? "" : std::filesystem::path(home) / ".cache";
    if (!base.is_absolute()) return {};
  }
  return base / "gemma4" / fmt::format("tokenizer-{:016x}.cache", content_hash(tokenizer_json));
}

std::optional<TokenizerModel> read_tokenizer_cache(const std::filesystem::path& path) {
  std::error_code ec;
  if (path.empty() || !std::filesystem::is_regular_file(path, ec)) return std::nullopt;
  try {
    return parse_cache(read_file(path, ErrorKind::kModel));
  } catch (const Error& failure) {
    log_debug(failure.what());
    return std::nullopt;
  }
}

void write_tokenizer_cache(const std::filesystem::path& path, const TokenizerModel& model) {
  if (path.empty()) return;
  const Header header = {model.kinds.size(), model.bytes.size(), model.joinable.size(),
                         model.proto.size(), model.adds_bos ? uint64_t{1} : 0};
  std::string body(reinterpret_cast<const char*>(&header), sizeof header);
  body.append(as_bytes(model.offsets))
      .append(as_bytes(model.kinds))
      .append(as_bytes(model.bytes))
      .append(as_bytes(model.joinable))
      .append(as_bytes(model.proto));
  const uint64_t hash = content_hash(body);
  std::string file(kMagic);
  file.append(reinterpret_cast<const char*>(&hash), sizeof hash).append(body);
  try {
    std::error_code ec;
    std::filesystem::create_directories(path.parent_path(), ec);
    write_file_atomically(path, file);
  } catch (const Error& failure) {
    log_debug(failure.what());
  }
}

}  // namespace gemma4
