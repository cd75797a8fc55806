// Transcripts as text, subtitles or JSON, written as their segments are finished.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "lib/base/error.h"
#include "lib/io/json.h"
#include "lib/runtime/transcriber.h"
#include "tools/output.h"

namespace gemma4 {

enum class TranscriptFormat { kText, kSrt, kVtt, kJson, kJsonl };

/// "text", "srt", "vtt", "json", "jsonl"; anything else is text.
TranscriptFormat transcript_format(std::string_view name);
/// ".txt", ".srt" ...
const char* transcript_extension(TranscriptFormat format);

/// What stands beside the text in JSON.
struct TranscriptContext {
  std::string model;
  std::string language;  // as it was given; empty: none was
  double load_ms = 0.0;
  uint64_t seed = 0;
};

/// Writes one transcript after the other to an output.
class TranscriptWriter {
 public:
  virtual ~TranscriptWriter() = default;

  virtual void begin(const std::string& file) = 0;
  /// See TranscriptCallbacks.
  virtual void text(std::string_view) {}
  virtual void segment(const TranscriptSegment& segment) = 0;
  virtual void end(const Transcript&) {}
  /// The file under way, or one that could not be opened, will not be transcribed to its end.
  virtual void fail(const std::string&, const Error&) {}
  /// A line was begun and is not yet ended.
  virtual bool is_inside_line() const { return false; }
};

/// `output` and `context` must outlive the writer. `to_terminal`: control characters are left out.
std::unique_ptr<TranscriptWriter> make_transcript_writer(TranscriptFormat format, Output& output,
                                                         const TranscriptContext& context,
                                                         bool to_terminal);

/// "01:02:03,456"; `point` stands before the milliseconds.
std::string subtitle_time(double seconds, char point);

/// Lines of at most `columns`, broken at blanks, and between characters of scripts without them.
/// Line breaks of the text stay, blank lines go. A word that is longer has a line of its own.
std::string wrapped_lines(std::string_view text, size_t columns);

}  // namespace gemma4
