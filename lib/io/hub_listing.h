// What the Hub says is in a repository, and which of it is wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gemma4 {

struct HubFile {
  std::string name;  // a relative path that stays below the folder it is joined to
  /// Bytes; nullopt when the listing does not say.
  std::optional<uint64_t> size;
  /// Lowercase hexadecimal digits: 64 of a SHA-256 (files in large-file storage), or 40 of a git
  /// blob id. Empty when the listing does not say.
  std::string digest;
};

struct HubListing {
  std::string commit;
  std::vector<HubFile> files;  // names differ
};

/// Reads the answer of GET /api/models/ID/revision/REVISION?blobs=true. `origin` is named in
/// errors. Throws Error(kModel) for anything that is not such an answer: names that are absolute,
/// lead upward, hold control characters or occur twice, sizes that no disk holds, other digests.
HubListing parse_hub_listing(std::string_view json, std::string_view origin);

/// 40 or 64 lowercase hexadecimal digits.
bool is_hub_digest(std::string_view text);

/// The files whose name matches one of `patterns` (shell wildcards; * matches / too). Without
/// patterns those that the program reads: *.safetensors, *.json, *.jinja and *.model in the
/// topmost folder.
std::vector<HubFile> choose_hub_files(const HubListing& listing,
                                      const std::vector<std::string>& patterns);

}  // namespace gemma4
