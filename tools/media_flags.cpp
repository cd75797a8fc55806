#include "tools/media_flags.h"

#include <algorithm>
#include <charconv>
#include <deque>

#include "lib/base/error.h"
#include "tools/command_line.h"

namespace gemma4 {
namespace {

constexpr const char* kGroup = "Images, audio, video";

// "90", "30s", "5m" or "2h", in seconds.
double parse_duration(const std::string& text) {
  double number = 0.0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string unit(stop, end);
  const double factor = unit.empty() || unit == "s" ? 1.0 : unit == "m" ? 60.0 : 3600.0;
  if (error != std::errc() || !(number > 0.0 && number <= 1e6) ||
      (factor == 3600.0 && unit != "h")) {
    throw Error(ErrorKind::kUsage, "--max-duration: not a duration", printable(text, 40),
                "write 90s, 30m or 2h");
  }
  return number * factor;
}

Json media_part(const MediaReference& file) {
  const std::string kind(media_kind_name(file.kind));
  Json part = {{"type", kind}};
  part[kind] = file.value;
  return part;
}

struct Mark {
  size_t position;
  size_t length;
  MediaKind kind;
};

std::optional<Mark> next_mark(const std::string& text, size_t from,
                              const std::deque<MediaReference> (&waiting)[3]) {
  std::optional<Mark> first;
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
    if (waiting[static_cast<size_t>(kind)].empty()) continue;
    const std::string mark = "{" + std::string(media_kind_name(kind)) + "}";
    const size_t at = text.find(mark, from);
    if (at == text.npos || (first && first->position < at)) continue;
    first = Mark{at, mark.size(), kind};
  }
  return first;
}

}  // namespace

void MediaFlags::add_image_flags(CLI::App& app) {
  add_value(app, "--image-tokens", image_tokens, "70|140|280|560|1120|auto",
            "how finely an image is seen; auto: as the model\nwas made for (280), or the task asks")
      ->check(CLI::IsMember({"70", "140", "280", "560", "1120", "auto"}))
      ->group(kGroup);
  add_value(app, "--detail", detail, "low|medium|high|max", "the same: 70, 280, 560, 1120")
      ->check(CLI::IsMember({"low", "medium", "high", "max"}))
      ->group(kGroup);
  add_value(app, "--max-pixels", max_pixels, "N",
            "refuse larger pictures and frames; default: 100 million")
      ->transform(count_between(1, int64_t{1} << 40))
      ->group(kGroup);
}

void MediaFlags::add_to(CLI::App& app, bool files) {
  app_ = &app;
  if (files) {
    const auto add = [&](const char* name, MediaKind kind, const char* help) {
      file_options_.emplace_back(
          add_list(app, name, paths_[static_cast<size_t>(kind)], "FILE", help)->group(kGroup),
          kind);
    };
    add("--image", MediaKind::kImage,
        "show the model a picture; {image} in the prompt\nmarks its place, else it comes first\n"
        "(repeatable, - is standard input)");
    add("--audio", MediaKind::kAudio, "let it hear a recording, or a video's sound; {audio}");
    add("--video", MediaKind::kVideo, "show it frames of a video; {video}");
  }
  add_image_flags(app);
  add_value(app, "--video-frames", video_frames, "N",
            "frames of a video, evenly spread; default: 32")
      ->transform(count_between(1, 4096))
      ->group(kGroup);
  add_value(app, "--video-fps", video_fps, "X", "instead: so many frames a second")
      ->check(number_between(0.0001, 1000))
      ->group(kGroup);
  add_switch(app, "--video-audio", video_audio, "let it hear the sound of videos too")
      ->group(kGroup);
  add_value(app, "--max-duration", max_duration, "TIME",
            "refuse longer recordings (90s, 30m, 2h); default: 12h")
      ->group(kGroup);
}

std::vector<MediaReference> MediaFlags::files() const {
  std::vector<MediaReference> files;
  if (app_ == nullptr) return files;
  size_t used[3] = {};
  for (const CLI::Option* option : app_->parse_order()) {
    for (const auto& [own, kind] : file_options_) {
      const auto index = static_cast<size_t>(kind);
      if (option != own || used[index] == paths_[index].size()) continue;
      MediaReference file;
      file.kind = kind;
      file.value = paths_[index][used[index]++];
      file.place = "--" + std::string(media_kind_name(kind));
      files.push_back(std::move(file));
    }
  }
  return files;
}

void MediaFlags::check(bool may_come) const {
  if (!image_tokens.empty() && !detail.empty()) {
    throw Error(ErrorKind::kUsage, "--image-tokens and --detail exclude each other", {},
                "give one of them");
  }
  if (video_frames > 0 && video_fps > 0.0) {
    throw Error(ErrorKind::kUsage, "--video-frames and --video-fps exclude each other", {},
                "give one of them");
  }
  options();
  if (may_come) return;
  const auto needs = [&](bool given, const char* flag, MediaKind kind) {
    if (!given || !paths_[static_cast<size_t>(kind)].empty()) return;
    const std::string name(media_kind_name(kind));
    throw Error(ErrorKind::kUsage, std::string(flag) + " goes with --" + name + " only", {},
                "add --" + name + " FILE, or leave it away");
  };
  needs(!image_tokens.empty(), "--image-tokens", MediaKind::kImage);
  needs(!detail.empty(), "--detail", MediaKind::kImage);
  needs(video_frames > 0, "--video-frames", MediaKind::kVideo);
  needs(video_fps > 0.0, "--video-fps", MediaKind::kVideo);
  needs(video_audio, "--video-audio", MediaKind::kVideo);
}

MediaOptions MediaFlags::options() const {
  MediaOptions options;
  if (!detail.empty()) options.image_budget = detail_budget(detail);
  if (!image_tokens.empty() && image_tokens != "auto")
    options.image_budget = std::stoi(image_tokens);
  options.video_frames = video_frames;
  options.video_fps = video_fps;
  options.max_pixels = max_pixels;
  if (!max_duration.empty()) options.max_seconds = parse_duration(max_duration);
  return options;
}

void MediaFlags::claim_standard_input(StandardInput& standard_input) const {
  for (const auto& paths : paths_) {
    for (const std::string& path : paths) {
      if (path == "-") standard_input.give_away();
    }
  }
}

Json content_with_media(const std::string& before, const std::string& words,
                        std::span<const MediaReference> files) {
  const auto join = [](const std::string& first, const std::string& second) {
    return first + (first.empty() || second.empty() ? "" : "\n\n") + second;
  };
  if (files.empty()) return join(before, words);
  std::deque<MediaReference> waiting[3];
  for (const MediaReference& file : files) {
    waiting[static_cast<size_t>(file.kind)].push_back(file);
  }
  // Which files have a mark: the first of their kind, as many as there are marks.
  Json marked = Json::array();
  std::string text = before;
  size_t at = 0;
  size_t marks[3] = {};
  const auto flush = [&](const std::string& piece) {
    text = join(std::exchange(text, {}), piece);
    if (!text.empty()) marked.push_back({{"type", "text"}, {"text", std::exchange(text, {})}});
  };
  while (const auto mark = next_mark(words, at, waiting)) {
    auto& queue = waiting[static_cast<size_t>(mark->kind)];
    flush(words.substr(at, mark->position - at));
    marked.push_back(media_part(queue.front()));
    queue.pop_front();
    ++marks[static_cast<size_t>(mark->kind)];
    at = mark->position + mark->length;
  }
  flush(words.substr(at));
  for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
    const std::string name(media_kind_name(kind));
    if (marks[static_cast<size_t>(kind)] > 0 && words.find("{" + name + "}", at) != words.npos) {
      throw Error(ErrorKind::kUsage, "more {" + name + "} marks than files", {},
                  "add --" + name + " FILE for each");
    }
  }
  Json parts = Json::array();
  size_t skip[3] = {};
  for (const MediaReference& file : files) {
    const auto index = static_cast<size_t>(file.kind);
    if (skip[index]++ >= marks[index]) parts.push_back(media_part(file));
  }
  for (Json& part : marked) parts.push_back(std::move(part));
  return parts;
}

}  // namespace gemma4
