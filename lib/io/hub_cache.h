// The local cache of the Hugging Face Hub: how models are named, and where they lie.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace gemma4 {

/// A repository of the Hub, and the revision that is wanted of it.
struct HubModel {
  std::string id;        // "name" or "org/name"
  std::string revision;  // a branch, a tag, "refs/pr/7" or a commit; empty: "main"

  /// The revision with its default.
  std::string wanted() const { return revision.empty() ? "main" : revision; }
  /// "to download it: gemma4 pull ID@REVISION"
  std::string download_command() const;
};

/// The aliases of Hub ids, for messages: "e2b e4b ...".
std::string_view hub_alias_list();

/// `text` is an alias or a Hub id, with "@revision" if wanted; nullopt when it breaks the Hub's
/// rules for names. Both parts of the result are safe inside of paths and URLs.
std::optional<HubModel> parse_hub_model(std::string_view text);

/// A branch, a tag, "refs/pr/7" or a commit that stays below refs/ when it becomes part of a path.
bool is_hub_revision(std::string_view text);

/// 40 lowercase hexadecimal digits.
bool is_hub_commit(std::string_view text);

/// $HF_HOME, $XDG_CACHE_HOME/huggingface or ~/.cache/huggingface, whichever is set first.
std::filesystem::path hub_home();
/// $HF_HUB_CACHE, $HUGGINGFACE_HUB_CACHE or hub_home()/hub, whichever is set first.
std::filesystem::path hub_cache();
/// "models--org--name", the model's folder in the cache.
std::string hub_folder_name(const std::string& id);

}  // namespace gemma4
