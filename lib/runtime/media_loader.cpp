#include "lib/runtime/media_loader.h"

#include "lib/text/content_hash.h"

namespace gemma4 {

MediaLoader::Key MediaLoader::key_of(const MediaReference& reference) const {
  constexpr size_t kLongest = 4096;  // of a path; data: URIs are known by their hash
  std::string value = reference.value;
  if (value.size() > kLongest) {
    value = std::to_string(value.size()) + ":" + std::to_string(content_hash(value));
  }
  return {reference.kind, reference.image_budget, reference.is_base64, std::move(value)};
}

MediaAttachment MediaLoader::open(const MediaReference& reference) {
  if (reference.is_base64) {
    return {reference.kind, media_from_base64(reference.value, reference.place)};
  }
  if (reference.value != "-") {
    return {reference.kind, open_media(reference.value, reference.place)};
  }
  if (!standard_input_) standard_input_ = open_media("-", reference.place);
  return {reference.kind, standard_input_};
}

const PreparedMedia& MediaLoader::load(const MediaReference& reference) {
  const Key key = key_of(reference);
  const auto found = prepared_.find(key);
  if (found != prepared_.end()) return found->second;
  require_modality(reference.kind, settings_);
  MediaOptions options = options_;
  if (reference.image_budget > 0) options.image_budget = reference.image_budget;
  return prepared_.emplace(key, prepare_media(open(reference), settings_, options)).first->second;
}

}  // namespace gemma4
