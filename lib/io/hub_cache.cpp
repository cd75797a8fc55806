#include "lib/io/hub_cache.h"

#include <algorithm>
#include <array>
#include <cstdlib>

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxHubId = 96;

struct Alias {
  std::string_view name;
  std::string_view id;
};
constexpr std::array<Alias, 6> kAliases = {{{"e2b", "google/gemma-4-E2B-it"},
                                            {"e4b", "google/gemma-4-E4B-it"},
                                            {"12b", "google/gemma-4-12B-it"},
                                            {"26b", "google/gemma-4-26B-A4B-it"},
                                            {"26b-a4b", "google/gemma-4-26B-A4B-it"},
                                            {"31b", "google/gemma-4-31B-it"}}};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

bool is_hub_name(std::string_view part) {
  const auto is_edge = [](char c) { return c == '.' || c == '-'; };
  return !part.empty() && std::all_of(part.begin(), part.end(), is_name_char) &&
         !is_edge(part.front()) && !is_edge(part.back());
}

// The Hub's own rules for repository ids.
bool is_hub_id(std::string_view id) {
  if (id.size() > kMaxHubId || id.find("--") != id.npos || id.find("..") != id.npos) return false;
  const size_t slash = id.find('/');
  if (slash == id.npos) return is_hub_name(id);
  return is_hub_name(id.substr(0, slash)) && is_hub_name(id.substr(slash + 1));
}

fs::path expand_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  return environment("HOME") + path.substr(1);
}

}  // namespace

std::string HubModel::download_command() const {
  return "to download it: gemma4 pull " + id + (revision.empty() ? "" : "@" + revision);
}

std::string_view hub_alias_list() { return "e2b e4b 12b 26b-a4b 31b"; }

std::optional<HubModel> parse_hub_model(std::string_view text) {
  const size_t at = text.find('@');
  HubModel model{std::string(text.substr(0, at)),
                 at == text.npos ? "" : std::string(text.substr(at + 1))};
  const auto alias = std::find_if(kAliases.begin(), kAliases.end(),
                                  [&](const Alias& entry) { return entry.name == model.id; });
  if (alias != kAliases.end()) model.id = alias->id;
  if (!is_hub_id(model.id)) return std::nullopt;
  if (at != text.npos && !is_hub_revision(model.revision)) return std::nullopt;
  return model;
}

bool is_hub_revision(std::string_view text) {
  if (text.empty() || text.size() > 256 || text.find("..") != text.npos) return false;
  if (text.front() == '/' || text.back() == '/' || text.find("//") != text.npos) return false;
  return std::all_of(text.begin(), text.end(), [](char c) { return is_name_char(c) || c == '/'; });
}

bool is_hub_commit(std::string_view text) {
  return text.size() == 40 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

fs::path hub_home() {
  if (const std::string home = environment("HF_HOME"); !home.empty()) return expand_home(home);
  if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) {
    return expand_home(cache) / "huggingface";
  }
  return expand_home("~/.cache/huggingface");
}

fs::path hub_cache() {
  for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    if (const std::string path = environment(name); !path.empty()) return expand_home(path);
  }
  return hub_home() / "hub";
}

std::string hub_folder_name(const std::string& id) {
  std::string folder = "models--" + id;
  if (const size_t slash = folder.find('/'); slash != folder.npos) folder.replace(slash, 1, "--");
  return folder;
}

}  // namespace gemma4
