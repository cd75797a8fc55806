#include "tools/transcript_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "lib/base/utf8.h"
#include "tools/answer_json.h"
#include "tools/terminal.h"

namespace gemma4 {
namespace {

constexpr size_t kSubtitleColumns = 42;

double rounded(double value) { return std::round(value * 1000.0) / 1000.0; }

class TextWriter : public TranscriptWriter {
 public:
  TextWriter(Output& output, bool to_terminal) : output_(output), to_terminal_(to_terminal) {}

  // Several transcripts have a blank line between them.
  void begin(const std::string&) override {
    if (written_) output_.write("\n");
    written_ = false;
  }
  void text(std::string_view piece) override {
    write(piece);
    shown_ += piece.size();
  }
  void segment(const TranscriptSegment& segment) override {
    write(std::string_view(segment.text).substr(shown_));
    end_line();
  }
  void end(const Transcript&) override { end_line(); }
  void fail(const std::string&, const Error&) override { end_line(); }
  bool is_inside_line() const override { return inside_line_; }

 private:
  void write(std::string_view piece) {
    if (piece.empty()) return;
    output_.write(to_terminal_ ? without_controls(piece) : std::string(piece));
    written_ = inside_line_ = true;
  }
  void end_line() {
    if (inside_line_) output_.write("\n");
    inside_line_ = false;
    shown_ = 0;
  }

  Output& output_;
  bool to_terminal_;
  bool inside_line_ = false;
  bool written_ = false;
  size_t shown_ = 0;  // bytes of the segment under way
};

/// SRT and WebVTT: a cue for each segment.
class SubtitleWriter : public TranscriptWriter {
 public:
  SubtitleWriter(Output& output, bool is_vtt) : output_(output), is_vtt_(is_vtt) {}

  void begin(const std::string&) override {
    number_ = 0;
    if (is_vtt_) output_.write("WEBVTT\n");
  }
  void segment(const TranscriptSegment& segment) override {
    const std::string lines = wrapped_lines(without_controls(segment.text), kSubtitleColumns);
    if (lines.empty()) return;
    const char point = is_vtt_ ? '.' : ',';
    std::string cue = is_vtt_ || number_ > 0 ? "\n" : "";
    ++number_;
    if (!is_vtt_) cue += std::to_string(number_) + "\n";
    cue += subtitle_time(segment.start, point) + " --> " + subtitle_time(segment.end, point) + "\n";
    output_.write(cue + (is_vtt_ ? escaped(lines) : lines));
  }

 private:
  // What would be markup; "-->" would begin a cue.
  static std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
      switch (c) {
        case '&':
          out += "&amp;";
          break;
        case '<':
          out += "&lt;";
          break;
        case '>':
          out += "&gt;";
          break;
        default:
          out += c;
      }
    }
    return out;
  }

  Output& output_;
  bool is_vtt_;
  size_t number_ = 0;
};

Json segment_json(const TranscriptSegment& segment) {
  return {{"start", rounded(segment.start)}, {"end", rounded(segment.end)}, {"text", segment.text}};
}

Json error_json(const Error& error) {
  return {{"code", error.exit_code()}, {"message", error.what()}};
}

// Sums over the windows, in the form of gemma4 run.
void add_numbers(Json& object, const TranscriptContext& context, const Transcript& transcript) {
  GenerationResult sum;
  int64_t intervals = 0;
  for (const GenerationResult& window : transcript.windows) {
    sum.prompt_tokens += window.prompt_tokens;
    sum.cached_tokens += window.cached_tokens;
    sum.media_tokens += window.media_tokens;
    sum.completion_tokens += window.completion_tokens;
    sum.reasoning_tokens += window.reasoning_tokens;
    sum.prefill_ms += window.prefill_ms;
    sum.decode_ms += window.decode_ms;
    intervals += std::max<int64_t>(0, window.completion_tokens - 1);
  }
  object["usage"] = {{"prompt_tokens", sum.prompt_tokens},
                     {"cached_tokens", sum.cached_tokens},
                     {"media_tokens", sum.media_tokens},
                     {"completion_tokens", sum.completion_tokens},
                     {"reasoning_tokens", sum.reasoning_tokens}};
  const auto& windows = transcript.windows;
  object["timings"] = {
      {"load_ms", rounded(context.load_ms)},
      {"ttft_ms", windows.empty() ? Json() : Json(rounded(windows.front().ttft_ms))},
      {"prompt_tokens_per_second",
       tokens_per_second(sum.prompt_tokens - sum.cached_tokens, sum.prefill_ms)},
      {"tokens_per_second", tokens_per_second(intervals, sum.decode_ms)},
      {"draft_acceptance", nullptr},
      {"total_ms", rounded(transcript.elapsed_ms)}};
  object["finish_reason"] = finish_reason_name(transcript.finish_reason);
  object["seed"] = context.seed;
}

class JsonWriter : public TranscriptWriter {
 public:
  JsonWriter(Output& output, const TranscriptContext& context)
      : output_(output), context_(context) {}

  void begin(const std::string& file) override { file_ = file; }
  void segment(const TranscriptSegment&) override {}
  void end(const Transcript& transcript) override {
    Json object = {
        {"model", context_.model}, {"file", file_}, {"duration", rounded(transcript.seconds)}};
    if (!context_.language.empty()) object["language"] = context_.language;
    object["text"] = transcript.text;
    object["segments"] = Json::array();
    for (const TranscriptSegment& segment : transcript.segments) {
      object["segments"].push_back(segment_json(segment));
    }
    add_numbers(object, context_, transcript);
    output_.write(json_line(object));
  }
  void fail(const std::string& file, const Error& error) override {
    output_.write(
        json_line({{"model", context_.model}, {"file", file}, {"error", error_json(error)}}));
  }

 private:
  Output& output_;
  const TranscriptContext& context_;
  std::string file_;
};

class JsonlWriter : public TranscriptWriter {
 public:
  JsonlWriter(Output& output, const TranscriptContext& context)
      : output_(output), context_(context) {}

  void begin(const std::string& file) override { file_ = file; }
  void segment(const TranscriptSegment& segment) override {
    Json object = {{"type", "segment"}, {"file", file_}};
    object.update(segment_json(segment));
    output_.write(json_line(object));
  }
  void end(const Transcript& transcript) override {
    Json object = {{"type", "end"},
                   {"model", context_.model},
                   {"file", file_},
                   {"duration", rounded(transcript.seconds)}};
    if (!context_.language.empty()) object["language"] = context_.language;
    add_numbers(object, context_, transcript);
    output_.write(json_line(object));
  }
  void fail(const std::string& file, const Error& error) override {
    output_.write(json_line({{"type", "error"}, {"file", file}, {"error", error_json(error)}}));
  }

 private:
  Output& output_;
  const TranscriptContext& context_;
  std::string file_;
};

/// Columns of a terminal or a subtitle that a character takes.
size_t columns_of(char32_t c) {
  if ((c >= 0x300 && c <= 0x36F) || c == 0x200B || c == 0x200D || (c >= 0xFE00 && c <= 0xFE0F)) {
    return 0;
  }
  const bool wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
                    (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
                    (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
                    (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
  return wide ? 2 : 1;
}

/// A line may be broken before such a character: Han and kana, but not their punctuation.
bool breaks_before(char32_t c) {
  return (c >= 0x3041 && c <= 0x30FA) || (c >= 0x3400 && c <= 0x9FFF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

}  // namespace

TranscriptFormat transcript_format(std::string_view name) {
  if (name == "srt") return TranscriptFormat::kSrt;
  if (name == "vtt") return TranscriptFormat::kVtt;
  if (name == "json") return TranscriptFormat::kJson;
  if (name == "jsonl") return TranscriptFormat::kJsonl;
  return TranscriptFormat::kText;
}

const char* transcript_extension(TranscriptFormat format) {
  switch (format) {
    case TranscriptFormat::kSrt:
      return ".srt";
    case TranscriptFormat::kVtt:
      return ".vtt";
    case TranscriptFormat::kJson:
      return ".json";
    case TranscriptFormat::kJsonl:
      return ".jsonl";
    case TranscriptFormat::kText:
      break;
  }
  return ".txt";
}

std::unique_ptr<TranscriptWriter> make_transcript_writer(TranscriptFormat format, Output& output,
                                                         const TranscriptContext& context,
                                                         bool to_terminal) {
  switch (format) {
    case TranscriptFormat::kSrt:
    case TranscriptFormat::kVtt:
      return std::make_unique<SubtitleWriter>(output, format == TranscriptFormat::kVtt);
    case TranscriptFormat::kJson:
      return std::make_unique<JsonWriter>(output, context);
    case TranscriptFormat::kJsonl:
      return std::make_unique<JsonlWriter>(output, context);
    case TranscriptFormat::kText:
      break;
  }
  return std::make_unique<TextWriter>(output, to_terminal);
}

std::string subtitle_time(double seconds, char point) {
  const auto ms = static_cast<int64_t>(std::llround(seconds * 1000.0));
  return fmt::format("{:02}:{:02}:{:02}{}{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60,
                     point, ms % 1000);
}

std::string wrapped_lines(std::string_view text, size_t columns) {
  std::string out;
  std::string line;
  size_t line_columns = 0;
  std::string piece;  // what must not be broken
  size_t piece_columns = 0;
  bool blank_before = false;
  const auto end_line = [&] {
    if (!line.empty()) out += line + "\n";
    line.clear();
    line_columns = 0;
  };
  const auto end_piece = [&] {
    if (piece.empty()) return;
    const size_t blank = blank_before && !line.empty() ? 1 : 0;
    if (!line.empty() && line_columns + blank + piece_columns > columns) end_line();
    if (blank_before && !line.empty()) {
      line += ' ';
      ++line_columns;
    }
    line += piece;
    line_columns += piece_columns;
    piece.clear();
    piece_columns = 0;
    blank_before = false;
  };
  while (!text.empty()) {
    const CodePoint point = decode_utf8(text);
    const size_t length = std::max<size_t>(point.length, 1);
    const char32_t c = point.value;
    const bool is_break = c == '\n' || c == 0x2028 || c == 0x2029;
    if (is_break || c == ' ' || c == '\t' || c == '\r' || c == 0x3000) {
      end_piece();
      blank_before = true;
      if (is_break) end_line();
    } else {
      if (breaks_before(c)) end_piece();
      piece += text.substr(0, length);
      piece_columns += columns_of(c);
    }
    text.remove_prefix(length);
  }
  end_piece();
  end_line();
  return out;
}

}  // namespace gemma4
