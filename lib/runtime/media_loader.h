// MediaLoader: prepares what prompts refer to, each reference once, however often a conversation is
// rendered anew.
#pragma once

#include <map>
#include <string>
#include <tuple>

#include "lib/runtime/media_messages.h"
#include "lib/runtime/media_prepare.h"

namespace gemma4 {

class MediaLoader {
 public:
  MediaLoader(const MediaSettings& settings, const MediaOptions& options)
      : settings_(settings), options_(options) {}

  const MediaSettings& settings() const { return settings_; }
  const MediaOptions& options() const { return options_; }

  /// Opened, without being decoded.
  MediaAttachment open(const MediaReference& reference);
  /// Throws what prepare_media throws. Valid until forget() of the same.
  const PreparedMedia& load(const MediaReference& reference);
  /// The file is read again when it is named again.
  void forget(const MediaReference& reference) { prepared_.erase(key_of(reference)); }

 private:
  using Key = std::tuple<MediaKind, int, bool, std::string>;
  Key key_of(const MediaReference& reference) const;

  MediaSettings settings_;
  MediaOptions options_;
  MediaSourcePtr standard_input_;  // can be read but once
  std::map<Key, PreparedMedia> prepared_;
};

}  // namespace gemma4
