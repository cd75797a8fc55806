#include "lib/runtime/transcriber.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/media/audio_window_reader.h"
#include "lib/media/media_layout.h"
#include "lib/runtime/media_prepare.h"
#include "lib/runtime/media_prompt.h"
#include "lib/text/blanks.h"
#include "lib/text/transcript_join.h"

namespace gemma4 {
namespace {

/// More than anyone says in a second, in words or in characters of scripts without blanks.
constexpr double kWordsPerSecond = 10.0;
/// An answer of more tokens than this goes round in circles.
constexpr int64_t kTokensPerSecond = 16;
constexpr int64_t kExtraTokens = 64;

double seconds_of(int64_t samples) { return static_cast<double>(samples) / kAudioSampleRate; }

/// A window with what is to be said about it, read before its samples go.
struct Window {
  AudioWindow place;
  size_t shared_words = 0;                   // most words that it shares with the next window
  std::optional<GenerationRequest> request;  // nothing: silence
  std::optional<GenerationResult> result;
};

/// The answers of windows, in order, as segments.
class SegmentJoiner {
 public:
  SegmentJoiner(Transcript& transcript, double offset, const TranscriptCallbacks& callbacks)
      : transcript_(transcript), offset_(offset), callbacks_(callbacks) {}

  void add(const Window& window, std::string_view text) {
    text = trim(text);
    if (open_) {
      const TranscriptSeam seam = find_transcript_seam(open_->text, text, shared_words_);
      open_->text.resize(seam.left_end);
      open_->text += seam.bridge;
      text.remove_prefix(seam.right_begin);
      close();
    }
    open_ = TranscriptSegment{offset_ + seconds_of(window.place.own_begin),
                              offset_ + seconds_of(window.place.own_end), std::string(text)};
    shared_words_ = window.shared_words;
    show(settled_transcript(open_->text, shared_words_));
    if (shared_words_ == 0) close();
  }

  /// Ends the segment under way.
  void close() {
    if (!open_) return;
    TranscriptSegment segment = std::move(*open_);
    open_.reset();
    shown_ = 0;
    segment.text = std::string(trim(segment.text));
    if (segment.text.empty()) return;
    append_transcript(transcript_.text, segment.text);
    if (callbacks_.on_segment) callbacks_.on_segment(segment);
    transcript_.segments.push_back(std::move(segment));
  }

 private:
  void show(size_t settled) {
    const std::string_view text = trim_right(std::string_view(open_->text).substr(0, settled));
    if (text.size() <= shown_) return;
    if (callbacks_.on_text) callbacks_.on_text(text.substr(shown_));
    shown_ = text.size();
  }

  Transcript& transcript_;
  double offset_;
  const TranscriptCallbacks& callbacks_;
  std::optional<TranscriptSegment> open_;
  size_t shared_words_ = 0;
  size_t shown_ = 0;
};

/// One recording on its way through the engine.
class Run {
 public:
  using MakeRequest = std::function<GenerationRequest(std::span<const float>)>;

  Run(Engine& engine, Recording& recording, const TranscriptCallbacks& callbacks,
      const TranscriberOptions& options, MakeRequest make_request)
      : engine_(engine),
        recording_(recording),
        callbacks_(callbacks),
        make_request_(std::move(make_request)),
        at_once_(recording.is_live() ? 1 : static_cast<size_t>(options.windows_at_once)),
        reader_(recording.stream(), window_options(options, recording)),
        joiner_(transcript_, recording.offset(), callbacks) {}

  Transcript run() {
    while (!stopped() && read_group()) {
      generate();
      report();
    }
    joiner_.close();
    const auto stop = stopped();
    const bool cut = std::any_of(
        transcript_.windows.begin(), transcript_.windows.end(),
        [](const GenerationResult& r) { return r.finish_reason == FinishReason::kLength; });
    if (cut) transcript_.finish_reason = FinishReason::kLength;
    if (stop) transcript_.finish_reason = *stop;
    return std::move(transcript_);
  }

 private:
  static AudioWindowOptions window_options(const TranscriberOptions& options,
                                           const Recording& recording) {
    AudioWindowOptions windows = options.windows;
    windows.at_pauses = recording.is_live();
    return windows;
  }

  std::optional<FinishReason> stopped() const {
    return callbacks_.should_stop ? callbacks_.should_stop() : std::nullopt;
  }

  bool read_group() {
    group_.clear();
    drained_ = 0;
    while (group_.size() < at_once_ && read_window()) continue;
    return !group_.empty();
  }

  bool read_window() {
    Window window;
    std::span<const float> samples;
    try {
      if (!reader_.next(window.place, samples)) return false;
    } catch (const Error&) {
      if (stopped()) return false;  // live sound that was ended before it began
      throw;
    }
    const auto count = static_cast<int64_t>(samples.size());
    const bool too_short = count < kMinAudioSamples;
    if (too_short && window.place.begin == 0) {
      throw Error(
          ErrorKind::kInput, "the recording is too short", recording_.name(),
          fmt::format("{} samples at 16 kHz, at least {} are needed", count, kMinAudioSamples));
    }
    const auto overlap = samples.subspan(
        static_cast<size_t>(std::min(window.place.next_begin() - window.place.begin, count)));
    const double sounding = sounding_seconds(overlap, samples);
    if (sounding > 0.0) {
      window.shared_words = 2 + static_cast<size_t>(std::ceil(kWordsPerSecond * sounding));
    }
    const bool silent = too_short || sounding_seconds(samples, samples) == 0.0;
    if (!silent) window.request = make_request_(samples);
    log_info(fmt::format("{}: window {}: samples {} to {}, its own {} to {}, {} audio tokens",
                         printable(recording_.name()), windows_read_++, window.place.begin,
                         window.place.end, window.place.own_begin, window.place.own_end,
                         silent ? 0 : window.request->media.at(0).input->soft_tokens));
    group_.push_back(std::move(window));
    return true;
  }

  void generate() {
    std::vector<GenerationRequest> requests;
    std::vector<size_t> window_of;
    for (size_t i = 0; i < group_.size(); ++i) {
      if (!group_[i].request) continue;
      requests.push_back(std::move(*group_[i].request));
      window_of.push_back(i);
    }
    drain();
    if (requests.empty()) return;
    GenerationCallbacks callbacks;
    callbacks.on_prefill = [this](int64_t, int64_t) { report(); };
    callbacks.on_token = [this](size_t, TokenId) { report(); };
    callbacks.on_result = [&](size_t index, const GenerationResult& result) {
      group_[window_of[index]].result = result;
      drain();
    };
    callbacks.should_stop = [this] { return stopped(); };
    std::vector<GenerationResult> results = engine_.generate(requests, callbacks);
    // Those that an interruption kept from starting were not told of.
    for (size_t i = 0; i < results.size(); ++i) {
      if (!group_[window_of[i]].result) group_[window_of[i]].result = std::move(results[i]);
    }
    drain();
  }

  /// Takes the answers that have come, in the order of the windows.
  void drain() {
    for (; drained_ < group_.size() && !cut_off_; ++drained_) {
      Window& window = group_[drained_];
      if (window.request && !window.result) return;
      const bool silent = !window.result;
      if (!silent && exit_reason(window.result->finish_reason)) {
        // What was said until it was cut off counts; what comes after would leave a gap.
        cut_off_ = true;
        if (window.result->completion_tokens == 0) return;
      }
      joiner_.add(window, silent ? std::string_view() : window.result->output.content);
      if (!silent) {
        window.result->output = {};
        window.result->token_ids = {};
        transcript_.windows.push_back(std::move(*window.result));
      }
      transcript_.seconds = seconds_of(window.place.own_end);
    }
  }

  static bool exit_reason(FinishReason reason) {
    return reason == FinishReason::kInterrupted || reason == FinishReason::kTerminated;
  }

  void report() const {
    if (!callbacks_.on_progress) return;
    callbacks_.on_progress(transcript_.seconds, recording_.stream().expected_seconds());
  }

  Engine& engine_;
  Recording& recording_;
  const TranscriptCallbacks& callbacks_;
  MakeRequest make_request_;
  size_t at_once_;
  AudioWindowReader reader_;
  Transcript transcript_;
  SegmentJoiner joiner_;
  std::vector<Window> group_;
  size_t drained_ = 0;  // of the group
  int64_t windows_read_ = 0;
  bool cut_off_ = false;
};

}  // namespace

Transcriber::Transcriber(const PromptTools& tools, TranscriberOptions options)
    : tools_(tools), options_(std::move(options)) {
  require_modality(MediaKind::kAudio, tools.media);
  if (tools.tokenizer == nullptr || tools.chat_template == nullptr) {
    throw Error(ErrorKind::kModel, "the checkpoint has no tokenizer.json or no chat template", {},
                "add the files that the model came with");
  }
  check_audio_window_options(options_.windows);
  const Json content = {{{"type", "audio"}}, {{"type", "text"}, {"text", options_.instruction}}};
  const Json messages = Json::array({{{"role", "user"}, {"content", content}}});
  prompt_ = tools.chat_template->render(messages, Json::array(), {}, tools.tokenizer.get());
}

int64_t Transcriber::max_tokens_of(int64_t samples) const {
  if (options_.max_tokens >= 0) return options_.max_tokens;
  return kExtraTokens + kTokensPerSecond * samples / kAudioSampleRate;
}

TranscriberNeeds Transcriber::needs() const {
  const int64_t samples = options_.windows.max_samples;
  TranscriberNeeds needs;
  needs.media.audio_tokens =
      tools_.media.encoder_free ? raw_audio_soft_tokens(samples) : conformer_soft_tokens(samples);
  needs.media.total_tokens = needs.media.audio_tokens * options_.windows_at_once;
  // The placeholder becomes the soft tokens between two markers.
  needs.prompt_tokens = static_cast<int64_t>(prompt_.ids.size()) - 1 + needs.media.audio_tokens + 2;
  needs.positions = needs.prompt_tokens + max_tokens_of(samples);
  return needs;
}

GenerationRequest Transcriber::request_for(std::span<const float> samples) const {
  PreparedMedia clip;
  clip.kind = MediaKind::kAudio;
  clip.inputs = {audio_input(samples, tools_.media)};
  clip.pieces = audio_pieces(clip.inputs[0]->soft_tokens);
  MediaPrompt prompt = expand_media(tools_, prompt_.ids, media_places(prompt_), {&clip, 1});

  GenerationRequest request;
  request.prompt = std::move(prompt.ids);
  request.media = std::move(prompt.spans);
  request.sampling = options_.sampling;
  request.seed = options_.seed;
  request.max_tokens = max_tokens_of(static_cast<int64_t>(samples.size()));
  request.stop_ids = stop_ids(tools_, true);
  request.stop = options_.stop;
  request.parser = {false, prompt_.in_reasoning, Json::array()};
  return request;
}

Transcript Transcriber::run(Engine& engine, Recording& recording,
                            const TranscriptCallbacks& callbacks) {
  const auto started = std::chrono::steady_clock::now();
  Run run(engine, recording, callbacks, options_,
          [this](std::span<const float> samples) { return request_for(samples); });
  Transcript transcript = run.run();
  transcript.elapsed_ms =
      std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - started).count();
  return transcript;
}

}  // namespace gemma4
