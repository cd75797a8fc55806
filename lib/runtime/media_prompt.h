// Prompts with media in them: placeholders become runs of soft tokens.
//
// Spec vision-audio-video.md, 1.8, 4.4, 5.3 and 6.1: the i-th placeholder of a kind takes the i-th
// attachment of that kind, independently of the other kinds.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/media_prepare.h"

namespace gemma4 {

/// Ids with all placeholders expanded, and where the soft tokens stand among them.
struct MediaPrompt {
  std::vector<TokenId> ids;
  std::vector<MediaSpan> spans;      // ascending
  std::vector<PreparedMedia> media;  // of fill_media: what the attachments became
};

/// Where an attachment goes: its placeholder, or a place between two tokens.
struct MediaPlace {
  MediaKind kind = MediaKind::kImage;
  size_t index = 0;            // into the ids
  bool is_placeholder = true;  // ids[index] is replaced; otherwise the media go before it
};

/// The places that the chat template printed.
std::vector<MediaPlace> media_places(const RenderedPrompt& prompt);

/// `media` in the order of the places of their kind. Throws Error(kInput) when their numbers
/// differ, Error(kModel) when the config lacks an id that is needed.
MediaPrompt expand_media(const PromptTools& tools, std::span<const TokenId> ids,
                         std::span<const MediaPlace> places, std::span<const PreparedMedia> media);

/// Ids in which the runs of soft tokens stand already: the attachments fill them in order. Without
/// an image budget in `options` the one that fits the run is taken, and as many video frames as
/// there are runs. Throws Error(kInput) with the counts when they do not fit.
MediaPrompt fill_media(const PromptTools& tools, std::vector<TokenId> ids,
                       std::span<const MediaAttachment> attachments, const MediaOptions& options);

}  // namespace gemma4
