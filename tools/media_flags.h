// The flags for images, recordings and videos, and the markers that say where in a prompt they go.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "lib/runtime/media_loader.h"
#include "tools/text_input.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace gemma4 {

struct MediaFlags {
  std::string image_tokens;  // "", "auto", or a budget
  std::string detail;
  int video_frames = 0;
  double video_fps = 0.0;
  bool video_audio = false;
  int64_t max_pixels = kDefaultMaxPixels;
  std::string max_duration;

  /// `files`: also --image, --audio and --video.
  void add_to(CLI::App& app, bool files);
  /// Of an image alone: --image-tokens, --detail and --max-pixels.
  void add_image_flags(CLI::App& app);

  /// The files in the order in which they were named, of all kinds.
  std::vector<MediaReference> files() const;
  /// Throws Error(kUsage) for flags of which one could not take effect. `may_come`: media may
  /// come from elsewhere than the flags.
  void check(bool may_come) const;
  /// Throws Error(kUsage) for an impossible --max-duration.
  MediaOptions options() const;
  /// Throws Error(kUsage) when standard input is named twice.
  void claim_standard_input(StandardInput& standard_input) const;

 private:
  CLI::App* app_ = nullptr;
  std::vector<std::pair<CLI::Option*, MediaKind>> file_options_;
  std::vector<std::string> paths_[3];  // by kind
};

/// The content of a user message: `before`, then `words`, in which "{image}", "{audio}" and
/// "{video}" mark the places of the files, in order; files without a mark come first. A text when
/// there are no files, else a list of parts. Throws Error(kUsage) for more marks of a kind than
/// files, unless there are none of that kind: then the marks are text.
Json content_with_media(const std::string& before, const std::string& words,
                        std::span<const MediaReference> files);

}  // namespace gemma4
