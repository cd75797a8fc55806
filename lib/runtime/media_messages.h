// Media in conversations: the parts of messages that refer to images, recordings and videos, in the
// forms of the OpenAI chat API and of Hugging Face processors.
//
//   {"type": "image_url", "image_url": {"url": ..., "detail": ...}}     also "image", "input_image"
//   {"type": "input_audio", "input_audio": {"data": base64, "format": ...}}  also "audio_url",
//   "audio"
//   {"type": "video_url", "video_url": {"url": ...}}                    also "video"
//
// A part of type "image", "audio" or "video" names its file under that key, "url" or "path"; one
// that names none takes the next file that was attached on the command line.
#pragma once

#include <string>
#include <vector>

#include "lib/io/json.h"
#include "lib/runtime/media_input.h"

namespace gemma4 {

struct MediaReference {
  MediaKind kind = MediaKind::kImage;
  std::string value;  // for open_media, or base64 data; empty: the next attached file
  bool is_base64 = false;
  int image_budget = 0;  // of "detail"; 0: not said
  std::string place;     // "messages/0/content/1", for error messages
};

struct MediaMessages {
  Json messages;                      // with the bare parts that chat templates know
  std::vector<MediaReference> media;  // in the order of the parts
};

/// `video_audio`: the sound track of each video follows at the end of its message.
/// Throws Error(kInput) that names the place for a part that cannot be understood.
MediaMessages extract_media(const Json& messages, bool video_audio);

/// The budget that "low", "medium", "high" or "max" stands for; 0 for "auto" and any other word.
int detail_budget(std::string_view detail);

}  // namespace gemma4
