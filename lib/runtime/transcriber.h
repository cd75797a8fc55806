// Transcriber: recordings of any length to text, window by window.
//
// A recording is cut into windows that fit the model's audio limit (lib/media/audio_windows.h),
// each window is a prompt of its own, and the answers are joined over the overlaps
// (lib/text/transcript_join.h). Only the windows under way are in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/media/audio_windows.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/recording.h"
#include "lib/text/chat_template.h"

namespace gemma4 {

struct TranscriberOptions {
  std::string instruction;  // the text of the prompt, behind the sound
  SamplingParams sampling;
  uint64_t seed = 0;
  int64_t max_tokens = -1;  // of a window; -1: more than can be said in that time
  std::vector<std::string> stop;
  AudioWindowOptions windows;
  int64_t windows_at_once = 1;  // of a recording that is not live: decoded together
};

/// What a window owns, without its overlaps. Times in seconds from the recording's start.
struct TranscriptSegment {
  double start = 0.0;
  double end = 0.0;
  std::string text;  // never empty, no blanks at its ends
};

struct Transcript {
  double seconds = 0.0;  // of sound, transcribed
  std::vector<TranscriptSegment> segments;
  std::string text;  // of all segments
  /// kInterrupted and kTerminated: from outside; kLength: at least one window reached max_tokens.
  FinishReason finish_reason = FinishReason::kStop;
  double elapsed_ms = 0.0;                // reading the recording included
  std::vector<GenerationResult> windows;  // numbers only: no texts, no ids
};

/// All are optional, and called on the thread that called Transcriber::run.
struct TranscriptCallbacks {
  /// The next piece of the segment under way, as far as later windows cannot change it. The pieces
  /// are a beginning of the text that on_segment gives.
  std::function<void(std::string_view text)> on_text;
  std::function<void(const TranscriptSegment& segment)> on_segment;
  /// Seconds of sound done and to do; 0: not known. Called often.
  std::function<void(double done, double total)> on_progress;
  std::function<std::optional<FinishReason>()> should_stop;
};

/// What the engine must hold for a window.
struct TranscriberNeeds {
  int64_t prompt_tokens = 0;  // the longest prompt
  int64_t positions = 0;      // with its answer
  MediaNeeds media;
};

class Transcriber {
 public:
  /// `tools` must outlive it. Throws Error(kInput) when the model cannot hear, Error(kModel) when
  /// it cannot make prompts, Error(kUsage) for impossible windows.
  Transcriber(const PromptTools& tools, TranscriberOptions options);

  TranscriberNeeds needs() const;

  /// Throws Error(kInput) for a recording that cannot be read to its end.
  Transcript run(Engine& engine, Recording& recording, const TranscriptCallbacks& callbacks);

 private:
  GenerationRequest request_for(std::span<const float> samples) const;
  int64_t max_tokens_of(int64_t samples) const;

  const PromptTools& tools_;
  TranscriberOptions options_;
  RenderedPrompt prompt_;
};

}  // namespace gemma4
