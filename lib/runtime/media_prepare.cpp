#include "lib/runtime/media_prepare.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/media/data_uri.h"
#include "lib/media/log_mel.h"
#include "lib/media/raw_audio_frames.h"
#include "lib/media/video_frames.h"

namespace gemma4 {
namespace {

// Clips of one recording, at most: more than any context holds.
constexpr size_t kMaxClips = 2048;

void check_grid(const ImagePatches& patches, const MediaSettings& settings,
                const std::string& name) {
  if (std::max(patches.columns, patches.rows) <= settings.max_grid) return;
  throw Error(ErrorKind::kInput, "the image is too elongated for the model", printable(name),
              fmt::format("{}x{} patches, at most {} a side; use fewer --image-tokens",
                          patches.columns, patches.rows, settings.max_grid));
}

MediaInputPtr image_input(const Image& image, MediaKind kind, int budget,
                          const MediaSettings& settings, const std::string& name) {
  MediaInput input;
  input.kind = kind;
  input.patches = prepare_image(image, budget, settings.patch_size());
  check_grid(input.patches, settings, name);
  input.soft_tokens = input.patches.soft_tokens();
  return make_media_input(std::move(input));
}

void prepare_image_file(const MediaAttachment& attachment, const MediaSettings& settings,
                        const MediaOptions& options, PreparedMedia& out) {
  const Image image = decode_image(*attachment.source, options.max_pixels);
  out.width = image.width;
  out.height = image.height;
  const int budget = options.image_budget > 0 ? options.image_budget : settings.image_budget;
  out.inputs.push_back(image_input(image, MediaKind::kImage, budget, settings, out.name));
  out.pieces = image_pieces(out.inputs[0]->soft_tokens);
}

void prepare_video_file(const MediaAttachment& attachment, const MediaSettings& settings,
                        const MediaOptions& options, PreparedMedia& out) {
  VideoOptions how;
  how.num_frames = options.video_frames > 0 ? options.video_frames : settings.video_frames;
  how.fps = options.video_fps;
  how.budget = settings.video_budget;
  how.max_pixels = options.max_pixels;
  const VideoFrames video = sample_video(attachment.source, how);
  for (const Image& frame : video.frames) {
    MediaInput input;
    input.kind = MediaKind::kVideo;
    input.patches = cut_patches(frame, settings.patch_size());
    check_grid(input.patches, settings, out.name);
    input.soft_tokens = input.patches.soft_tokens();
    out.inputs.push_back(make_media_input(std::move(input)));
  }
  out.width = video.frames[0].width;
  out.height = video.frames[0].height;
  out.seconds = video.fps > 0 ? static_cast<double>(video.total_frames) / video.fps : 0.0;
  out.timestamps = video.timestamps;
  out.pieces = video_pieces(video.timestamps, out.inputs[0]->soft_tokens);
}

void prepare_audio_file(const MediaAttachment& attachment, const MediaSettings& settings,
                        const MediaOptions& options, PreparedMedia& out) {
  const auto stream = open_audio(attachment.source, options.max_seconds);
  std::vector<float> clip(static_cast<size_t>(kMaxAudioSamples));
  int64_t total = 0;
  for (bool more = true; more;) {
    size_t filled = 0;
    while (more && filled < clip.size()) {
      const size_t count = stream->read(std::span(clip).subspan(filled));
      more = count > 0;
      filled += count;
    }
    total += static_cast<int64_t>(filled);
    // A last piece too short to hear, less than 11 ms, is left out.
    if (static_cast<int64_t>(filled) < kMinAudioSamples && !out.inputs.empty()) break;
    if (out.inputs.size() == kMaxClips) {
      throw Error(ErrorKind::kInput, "the recording does not fit any context", printable(out.name),
                  "cut it, or use gemma4 transcribe");
    }
    out.inputs.push_back(audio_input(std::span(clip).first(filled), settings));
    const auto pieces = audio_pieces(out.inputs.back()->soft_tokens);
    out.pieces.insert(out.pieces.end(), pieces.begin(), pieces.end());
  }
  out.seconds = static_cast<double>(total) / kAudioSampleRate;
  if (out.inputs.size() > 1) {
    log_warning(fmt::format("{} is longer than 30 s: given to the model as {} clips",
                            printable(out.name), out.inputs.size()));
  }
}

// "file:///a%20b" or "file://localhost/a": the path it names.
std::string path_of_file_url(std::string_view url, const std::string& origin) {
  std::string_view rest = url.substr(7);
  if (rest.starts_with("localhost/")) rest.remove_prefix(9);
  const auto refuse = [&] {
    throw Error(ErrorKind::kInput, "cannot read the file URL " + printable(url, 120), origin,
                "write file:///PATH");
  };
  if (!rest.starts_with('/')) refuse();
  std::string path;
  for (size_t i = 0; i < rest.size(); ++i) {
    if (rest[i] != '%') {
      path += rest[i];
      continue;
    }
    const auto digit = [&](size_t at) {
      const char c = at < rest.size() ? rest[at] : 'x';
      if (c >= '0' && c <= '9') return c - '0';
      if (c >= 'a' && c <= 'f') return c - 'a' + 10;
      if (c >= 'A' && c <= 'F') return c - 'A' + 10;
      return -1;
    };
    const int high = digit(i + 1);
    const int low = digit(i + 2);
    if (high < 0 || low < 0 || high * 16 + low == 0) refuse();
    path += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return path;
}

}  // namespace

MediaSourcePtr open_media(const std::string& reference, const std::string& origin) {
  if (is_data_uri(reference)) {
    return MediaSource::from_bytes(decode_data_uri(reference, origin).bytes, origin);
  }
  if (reference.starts_with("file://")) {
    return MediaSource::open(path_of_file_url(reference, origin));
  }
  const size_t scheme = reference.find("://");
  if (scheme != reference.npos && scheme > 1 && scheme < 16 &&
      std::all_of(reference.begin(), reference.begin() + static_cast<ptrdiff_t>(scheme),
                  [](unsigned char c) { return std::isalnum(c) != 0 || c == '+'; })) {
    throw Error(ErrorKind::kInput, "media are not fetched from the network",
                printable(reference, 120), "download the file first and give its path");
  }
  if (reference.empty()) throw Error(ErrorKind::kInput, "the file's name is empty", origin);
  return MediaSource::open(reference);
}

MediaSourcePtr media_from_base64(const std::string& text, const std::string& origin) {
  return MediaSource::from_bytes(decode_base64(text, origin), origin);
}

int64_t PreparedMedia::soft_tokens() const {
  int64_t total = 0;
  for (const MediaInputPtr& input : inputs) total += input->soft_tokens;
  return total;
}

void require_modality(MediaKind kind, const MediaSettings& settings) {
  if (kind == MediaKind::kAudio ? settings.audio : settings.images) return;
  throw Error(
      ErrorKind::kInput,
      fmt::format("the model has no {} encoder", kind == MediaKind::kAudio ? "audio" : "image"), {},
      kind == MediaKind::kAudio ? "use a model that hears: e2b, e4b or 12b"
                                : "use a model that sees");
}

MediaInputPtr audio_input(std::span<const float> samples, const MediaSettings& settings) {
  MediaInput input;
  input.kind = MediaKind::kAudio;
  if (settings.encoder_free) {
    RawAudioFrames frames = cut_raw_audio_frames(samples);
    input.soft_tokens = frames.frames;
    input.features = std::move(frames.values);
  } else {
    MelFeatures mel = LogMel(settings.log_mel).compute(samples);
    input.soft_tokens = conformer_tokens_of_frames(mel.frames);
    input.features = std::move(mel.values);
  }
  return make_media_input(std::move(input));
}

PreparedMedia prepare_media(const MediaAttachment& attachment, const MediaSettings& settings,
                            const MediaOptions& options) {
  require_modality(attachment.kind, settings);
  PreparedMedia out;
  out.kind = attachment.kind;
  out.name = attachment.source->name();
  switch (attachment.kind) {
    case MediaKind::kImage:
      prepare_image_file(attachment, settings, options, out);
      break;
    case MediaKind::kVideo:
      prepare_video_file(attachment, settings, options, out);
      break;
    case MediaKind::kAudio:
      prepare_audio_file(attachment, settings, options, out);
      break;
  }
  return out;
}

}  // namespace gemma4
