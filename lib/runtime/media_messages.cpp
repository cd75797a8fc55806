#include "lib/runtime/media_messages.h"

#include <utility>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

struct PartType {
  const char* type;
  MediaKind kind;
};

constexpr PartType kPartTypes[] = {
    {"image", MediaKind::kImage},       {"image_url", MediaKind::kImage},
    {"input_image", MediaKind::kImage}, {"audio", MediaKind::kAudio},
    {"audio_url", MediaKind::kAudio},   {"input_audio", MediaKind::kAudio},
    {"video", MediaKind::kVideo},       {"video_url", MediaKind::kVideo}};

[[noreturn]] void refuse(const std::string& what, const std::string& place) {
  throw Error(ErrorKind::kInput, what, place,
              R"(write {"type": "image_url", "image_url": {"url": "FILE"}})");
}

const Json* member(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_of(const Json& value, const std::string& place) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    refuse("the file's name must be a text", place);
  }
  return value.get<std::string>();
}

// The value under the part's own type, or an object that holds it.
void read_value(const Json& value, MediaReference& out) {
  if (!value.is_object()) {
    out.value = text_of(value, out.place);
    return;
  }
  if (const Json* data = member(value, "data")) {
    out.value = text_of(*data, out.place);
    out.is_base64 = true;
  } else {
    for (const char* key : {"url", "path"}) {
      if (const Json* url = member(value, key)) out.value = text_of(*url, out.place);
    }
    if (out.value.empty()) refuse("the part names no file", out.place);
  }
  const Json* detail = member(value, "detail");
  if (detail != nullptr && detail->is_string()) {
    out.image_budget = detail_budget(detail->get<std::string>());
  }
}

MediaReference read_part(const Json& part, const PartType& type, const std::string& place) {
  MediaReference out;
  out.kind = type.kind;
  out.place = place;
  const std::string kind(media_kind_name(type.kind));
  for (const std::string& key :
       {std::string(type.type), kind, kind + "_url", std::string("url"), std::string("path")}) {
    const Json* value = member(part, key.c_str());
    if (value == nullptr) continue;
    read_value(*value, out);
    return out;
  }
  if (type.type != kind) refuse("the part names no file", place);
  return out;
}

// Sound tracks that come at the end of a message.
void extract_from(Json& content, const std::string& place, bool video_audio,
                  std::vector<MediaReference>& media) {
  std::vector<MediaReference> tracks;
  for (size_t i = 0; i < content.size(); ++i) {
    Json& part = content[i];
    if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) continue;
    const std::string name = part["type"];
    for (const PartType& type : kPartTypes) {
      if (name != type.type) continue;
      media.push_back(read_part(part, type, place + "/content/" + std::to_string(i)));
      part = {{"type", media_kind_name(type.kind)}};
      if (type.kind != MediaKind::kVideo || !video_audio) continue;
      tracks.push_back(media.back());
      tracks.back().kind = MediaKind::kAudio;
    }
  }
  for (MediaReference& track : tracks) {
    content.push_back({{"type", "audio"}});
    media.push_back(std::move(track));
  }
}

}  // namespace

int detail_budget(std::string_view detail) {
  for (const auto& [name, budget] :
       {std::pair{"low", 70}, {"medium", 280}, {"high", 560}, {"max", 1120}}) {
    if (detail == name) return budget;
  }
  return 0;
}

MediaMessages extract_media(const Json& messages, bool video_audio) {
  MediaMessages out{messages, {}};
  if (!messages.is_array()) return out;
  for (size_t i = 0; i < out.messages.size(); ++i) {
    Json& message = out.messages[i];
    if (!message.is_object() || !message.contains("content")) continue;
    if (!message["content"].is_array()) continue;
    extract_from(message["content"], "messages/" + std::to_string(i), video_audio, out.media);
  }
  return out;
}

}  // namespace gemma4
