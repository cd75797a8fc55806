#include "lib/runtime/media_input.h"

#include <algorithm>

#include "lib/text/content_hash.h"

namespace gemma4 {

std::string_view media_kind_name(MediaKind kind) {
  switch (kind) {
    case MediaKind::kImage:
      return "image";
    case MediaKind::kAudio:
      return "audio";
    case MediaKind::kVideo:
      break;
  }
  return "video";
}

MediaInputPtr make_media_input(MediaInput input) {
  const auto bytes_of = [](const auto& values) {
    return std::string_view(reinterpret_cast<const char*>(values.data()),
                            values.size() * sizeof(values[0]));
  };
  const bool audio = input.kind == MediaKind::kAudio;
  const uint64_t parts[] = {
      content_hash(audio ? bytes_of(input.features) : bytes_of(input.patches.pixels)),
      audio ? uint64_t{1} : uint64_t{0}, static_cast<uint64_t>(input.patches.patch_size),
      static_cast<uint64_t>(input.patches.columns), static_cast<uint64_t>(input.soft_tokens)};
  input.key = content_hash({reinterpret_cast<const char*>(parts), sizeof(parts)});
  return std::make_shared<const MediaInput>(std::move(input));
}

void MediaNeeds::include(const MediaInput& input) {
  int64_t& largest = input.kind == MediaKind::kAudio ? audio_tokens : image_tokens;
  largest = std::max(largest, input.soft_tokens);
  total_tokens += input.soft_tokens;
}

}  // namespace gemma4
