#include "lib/runtime/media_prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

MediaKind kind_of(MediaSlot::Kind kind) {
  switch (kind) {
    case MediaSlot::Kind::kImage:
      return MediaKind::kImage;
    case MediaSlot::Kind::kAudio:
      return MediaKind::kAudio;
    case MediaSlot::Kind::kVideo:
      break;
  }
  return MediaKind::kVideo;
}

size_t index_of(MediaKind kind) { return static_cast<size_t>(kind); }

TokenId token_of(const MediaTokens& tokens, MediaTokenKind kind) {
  const auto require = [](TokenId id, const char* key) {
    if (id < 0) throw Error(ErrorKind::kModel, "missing key", std::string("config.json: ") + key);
    return id;
  };
  switch (kind) {
    case MediaTokenKind::kBeginImage:
      return require(tokens.begin_image, "boi_token_id");
    case MediaTokenKind::kImage:
      return require(tokens.image, "image_token_id");
    case MediaTokenKind::kEndImage:
      return require(tokens.end_image, "eoi_token_id");
    case MediaTokenKind::kVideo:
      return require(tokens.video, "video_token_id");
    case MediaTokenKind::kBeginAudio:
      return require(tokens.begin_audio, "boa_token_id");
    case MediaTokenKind::kAudio:
      return require(tokens.audio, "audio_token_id");
    case MediaTokenKind::kEndAudio:
      return require(tokens.end_audio, "eoa_token_id");
    case MediaTokenKind::kText:
      break;
  }
  throw Error(ErrorKind::kInternal, "text is no media token");
}

bool is_soft(MediaTokenKind kind) {
  return kind == MediaTokenKind::kImage || kind == MediaTokenKind::kVideo ||
         kind == MediaTokenKind::kAudio;
}

class Expansion {
 public:
  explicit Expansion(const PromptTools& tools) : tools_(tools) {}

  void add_token(TokenId id) { out_.ids.push_back(id); }

  void add(const PreparedMedia& media) {
    size_t input = 0;
    for (const MediaPiece& piece : media.pieces) {
      if (piece.kind == MediaTokenKind::kText) {
        add_text(piece.text);
        continue;
      }
      if (is_soft(piece.kind)) {
        out_.spans.push_back({static_cast<int64_t>(out_.ids.size()), media.inputs.at(input++)});
      }
      out_.ids.insert(out_.ids.end(), static_cast<size_t>(piece.count),
                      token_of(tools_.config.media, piece.kind));
    }
  }

  MediaPrompt take() { return std::move(out_); }

 private:
  // Tokenised together with the text before it, as the official processor does, which puts the
  // expansion into the text first.
  void add_text(const std::string& text) {
    const Tokenizer& tokenizer = *tools_.tokenizer;
    size_t start = out_.ids.size();
    while (start > 0 && !tokenizer.is_control(out_.ids[start - 1])) --start;
    const std::span before = std::span(out_.ids).subspan(start);
    const std::string joined = tokenizer.decode(before, false) + text;
    const std::vector<TokenId> ids = tokenizer.encode(joined, false);
    out_.ids.resize(start);
    out_.ids.insert(out_.ids.end(), ids.begin(), ids.end());
  }

  const PromptTools& tools_;
  MediaPrompt out_;
};

[[noreturn]] void refuse_counts(MediaKind kind, size_t places, size_t given,
                                const char* what = "files") {
  throw Error(ErrorKind::kInput,
              fmt::format("the prompt has {} {} placeholders for {} {}", places,
                          media_kind_name(kind), given, what),
              {}, "give one for each place");
}

// A run of equal soft-token ids.
struct Run {
  MediaKind kind;
  int64_t first;
  int64_t count;
};

std::vector<Run> find_runs(const MediaTokens& tokens, std::span<const TokenId> ids) {
  std::vector<Run> runs;
  for (size_t i = 0; i < ids.size(); ++i) {
    MediaKind kind = MediaKind::kImage;
    if (ids[i] < 0) continue;
    if (ids[i] == tokens.audio) {
      kind = MediaKind::kAudio;
    } else if (ids[i] == tokens.video) {
      kind = MediaKind::kVideo;
    } else if (ids[i] != tokens.image) {
      continue;
    }
    const auto at = static_cast<int64_t>(i);
    if (!runs.empty() && runs.back().kind == kind && runs.back().first + runs.back().count == at) {
      ++runs.back().count;
    } else {
      runs.push_back({kind, at, 1});
    }
  }
  return runs;
}

// Fills the runs of one kind, from left to right.
class Filler {
 public:
  Filler(std::vector<Run> runs, MediaKind kind) : kind_(kind) {
    for (const Run& run : runs) {
      if (run.kind == kind) runs_.push_back(run);
    }
  }

  size_t runs() const { return runs_.size(); }
  /// Places left in the run that comes next; 0: none.
  int64_t next_places() const { return at_ < runs_.size() ? runs_[at_].count - used_ : 0; }

  void fill(const PreparedMedia& media, std::vector<MediaSpan>& spans) {
    for (const MediaInputPtr& input : media.inputs) {
      if (input->soft_tokens > next_places()) {
        throw Error(ErrorKind::kInput,
                    fmt::format("{} has {} soft tokens, its place in the prompt {}",
                                printable(media.name, 120), input->soft_tokens, next_places()),
                    {},
                    kind_ == MediaKind::kImage ? "choose another --image-tokens"
                                               : "the prompt was made for another file");
      }
      spans.push_back({runs_[at_].first + used_, input});
      used_ += input->soft_tokens;
      if (next_places() == 0) {
        ++at_;
        used_ = 0;
      }
    }
  }

  void require_full(size_t given) const {
    if (at_ == runs_.size()) return;
    if (used_ == 0 && kind_ == MediaKind::kVideo) {
      refuse_counts(kind_, runs_.size(), at_, "frames");
    }
    if (used_ == 0) refuse_counts(kind_, runs_.size(), given);
    throw Error(ErrorKind::kInput,
                fmt::format("the run of {} {} placeholders at position {} is not filled",
                            runs_[at_].count, media_kind_name(kind_), runs_[at_].first),
                fmt::format("{} soft tokens were given for it", used_),
                kind_ == MediaKind::kImage ? "choose another --image-tokens" : "");
  }

 private:
  MediaKind kind_;
  std::vector<Run> runs_;
  size_t at_ = 0;
  int64_t used_ = 0;
};

// Without a budget of the user's: the one whose soft tokens are those of the run.
PreparedMedia prepare_to_fit(const MediaAttachment& attachment, const MediaSettings& settings,
                             MediaOptions options, const Filler& filler) {
  if (attachment.kind == MediaKind::kVideo && options.video_frames == 0 && options.video_fps == 0) {
    options.video_frames = static_cast<int>(std::clamp<size_t>(filler.runs(), 1, 4096));
  }
  if (attachment.kind == MediaKind::kImage && options.image_budget == 0) {
    const Image image = decode_image(*attachment.source, options.max_pixels);
    const auto fits = [&](int budget) {
      return image_soft_tokens({image.width, image.height}, budget) == filler.next_places();
    };
    const auto budget = std::find_if(std::begin(kImageBudgets), std::end(kImageBudgets), fits);
    if (!fits(settings.image_budget) && budget != std::end(kImageBudgets)) {
      options.image_budget = *budget;
    }
  }
  return prepare_media(attachment, settings, options);
}

}  // namespace

std::vector<MediaPlace> media_places(const RenderedPrompt& prompt) {
  std::vector<MediaPlace> places;
  for (const MediaSlot& slot : prompt.media) {
    places.push_back({kind_of(slot.kind), slot.token_index, true});
  }
  return places;
}

MediaPrompt expand_media(const PromptTools& tools, std::span<const TokenId> ids,
                         std::span<const MediaPlace> places, std::span<const PreparedMedia> media) {
  std::vector<const PreparedMedia*> queues[3];
  for (const PreparedMedia& item : media) queues[index_of(item.kind)].push_back(&item);
  size_t used[3] = {};
  for (const MediaPlace& place : places) ++used[index_of(place.kind)];
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
    const size_t count = used[index_of(kind)];
    if (count != queues[index_of(kind)].size()) {
      refuse_counts(kind, count, queues[index_of(kind)].size());
    }
    used[index_of(kind)] = 0;
  }
  Expansion out(tools);
  size_t at = 0;
  for (const MediaPlace& place : places) {
    for (; at < place.index; ++at) out.add_token(ids[at]);
    out.add(*queues[index_of(place.kind)][used[index_of(place.kind)]++]);
    if (place.is_placeholder) ++at;
  }
  for (; at < ids.size(); ++at) out.add_token(ids[at]);
  return out.take();
}

MediaPrompt fill_media(const PromptTools& tools, std::vector<TokenId> ids,
                       std::span<const MediaAttachment> attachments, const MediaOptions& options) {
  const std::vector<Run> runs = find_runs(tools.config.media, ids);
  MediaPrompt out;
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
    Filler filler(runs, kind);
    size_t given = 0;
    for (const MediaAttachment& attachment : attachments) {
      if (attachment.kind != kind) continue;
      require_modality(kind, tools.media);
      ++given;
      if (filler.next_places() == 0) {
        refuse_counts(kind, filler.runs(),
                      static_cast<size_t>(std::count_if(
                          attachments.begin(), attachments.end(),
                          [&](const MediaAttachment& other) { return other.kind == kind; })));
      }
      out.media.push_back(prepare_to_fit(attachment, tools.media, options, filler));
      filler.fill(out.media.back(), out.spans);
    }
    // A model without the encoder reads these ids like any other.
    if (kind == MediaKind::kAudio ? tools.media.audio : tools.media.images) {
      filler.require_full(given);
    }
  }
  std::sort(out.spans.begin(), out.spans.end(),
            [](const MediaSpan& a, const MediaSpan& b) { return a.first < b.first; });
  out.ids = std::move(ids);
  return out;
}

}  // namespace gemma4
