#include "lib/io/hub_listing.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "lib/io/hub_cache.h"
#include "lib/io/json.h"

namespace gemma4 {
namespace {

constexpr size_t kMaxFiles = 100'000;
constexpr uint64_t kMaxFileSize = uint64_t{1} << 50;  // 1 PiB
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxNamePart = 200;  // file systems take 255
constexpr const char* kProgramReads[] = {"*.safetensors", "*.json", "*.jinja", "*.model"};

bool is_hexadecimal(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// It becomes a path below the snapshot, and a part of a URL.
bool is_safe_name(std::string_view name) {
  if (name.empty() || name.size() > kMaxName || name.front() == '/') return false;
  const auto is_bad = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F || c == '\\';
  };
  if (std::any_of(name.begin(), name.end(), is_bad)) return false;
  while (true) {
    const size_t slash = name.find('/');
    const std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxNamePart) return false;
    if (slash == name.npos) return true;
    name.remove_prefix(slash + 1);
  }
}

class ListingReader {
 public:
  explicit ListingReader(std::string_view origin) : origin_(origin) {}

  HubListing read(const Json& json) const {
    HubListing listing;
    listing.commit = text(json, "sha");
    if (!is_hub_commit(listing.commit)) refuse("commit \"" + printable(listing.commit) + "\"");
    const Json* siblings = member(json, "siblings");
    if (siblings == nullptr || !siblings->is_array()) refuse("no list of files");
    if (siblings->size() > kMaxFiles) refuse("too many files");
    std::set<std::string> names;
    for (const Json& entry : *siblings) {
      listing.files.push_back(file(entry));
      if (!names.insert(listing.files.back().name).second) {
        refuse("two files named \"" + listing.files.back().name + "\"");
      }
    }
    return listing;
  }

 private:
  [[noreturn]] void refuse(const std::string& reason) const {
    throw Error(ErrorKind::kModel, "not a listing of a Hub repository (" + reason + ")", origin_,
                "check --endpoint and HF_ENDPOINT");
  }

  static const Json* member(const Json& object, const char* name) {
    if (!object.is_object()) return nullptr;
    const auto found = object.find(name);
    return found == object.end() || found->is_null() ? nullptr : &*found;
  }

  std::string text(const Json& object, const char* name) const {
    const Json* value = member(object, name);
    if (value == nullptr) return "";
    if (!value->is_string()) refuse(std::string("\"") + name + "\" is not a string");
    return value->get<std::string>();
  }

  std::optional<uint64_t> size(const Json& object) const {
    const Json* value = member(object, "size");
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_unsigned() || value->get<uint64_t>() > kMaxFileSize) {
      refuse("size " + printable(value->dump(), 40));
    }
    return value->get<uint64_t>();
  }

  HubFile file(const Json& entry) const {
    HubFile file;
    file.name = text(entry, "rfilename");
    if (!is_safe_name(file.name)) refuse("file name \"" + printable(file.name) + "\"");
    const Json* large = member(entry, "lfs");
    file.size = size(large == nullptr ? entry : *large);
    file.digest = large == nullptr ? text(entry, "blobId") : text(*large, "sha256");
    const size_t digits = large == nullptr ? 40 : 64;
    if (!file.digest.empty() && (file.digest.size() != digits || !is_hexadecimal(file.digest))) {
      refuse("digest \"" + printable(file.digest) + "\" of " + file.name);
    }
    return file;
  }

  std::string_view origin_;
};

}  // namespace

HubListing parse_hub_listing(std::string_view json, std::string_view origin) {
  return ListingReader(origin).read(parse_json(json, origin, ErrorKind::kModel));
}

bool is_hub_digest(std::string_view text) {
  return (text.size() == 40 || text.size() == 64) && is_hexadecimal(text);
}

std::vector<HubFile> choose_hub_files(const HubListing& listing,
                                      const std::vector<std::string>& patterns) {
  const auto is_wanted = [&](const HubFile& file) {
    if (patterns.empty()) {
      return std::any_of(std::begin(kProgramReads), std::end(kProgramReads),
                         [&](const char* pattern) {
                           return ::fnmatch(pattern, file.name.c_str(), FNM_PATHNAME) == 0;
                         });
    }
    return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
      return ::fnmatch(pattern.c_str(), file.name.c_str(), 0) == 0;
    });
  };
  std::vector<HubFile> chosen;
  std::copy_if(listing.files.begin(), listing.files.end(), std::back_inserter(chosen), is_wanted);
  return chosen;
}

}  // namespace gemma4
