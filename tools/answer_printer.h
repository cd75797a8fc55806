// An answer as people read it, written as it is made.
#pragma once

#include <string>

#include "lib/runtime/generation.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gemma4 {

/// Where reasoning goes. The answer text goes to the output, and is followed by exactly one
/// newline.
class AnswerPrinter {
 public:
  AnswerPrinter(Output& output, const ThinkingFlags& thinking, const std::string& color);

  void begin();
  void event(const OutputEvent& event);
  /// Without a tokenizer: ids with commas between.
  void id(TokenId token);
  /// Ends the line, once.
  void finish();

  /// True when reasoning is neither shown nor written.
  bool hides_reasoning() const { return display_ == Display::kHide; }

 private:
  enum class Display { kHide, kShow, kStderr };
  enum class Part { kNothing, kReasoning, kContent, kToolCalls };

  void enter(Part part);
  void leave_reasoning();
  void write_reasoning(const std::string& text);
  void write_content(const std::string& text);
  /// `text` after the newlines `held` back, less its own last ones, which are held back in turn.
  static std::string release(const std::string& text, std::string& held);
  std::string shown(const std::string& text) const;

  Output& output_;
  Display display_;
  bool dim_output_;
  bool dim_stderr_;
  Part part_ = Part::kNothing;
  std::string held_content_;  // newlines that end what was written so far: written when more comes
  std::string held_reasoning_;  // the same for reasoning
  bool mid_line_ = false;       // the answer's last line has begun
  bool wrote_ids_ = false;
};

/// A tool call as one line of JSON with its newline: {"name": ..., "arguments": ...}.
std::string tool_call_line(const ToolCall& call);

/// The text of the first fenced block of Markdown; what follows an open fence counts. Throws
/// Error(kAnswer) when there is none.
std::string first_fenced_block(const std::string& text);

}  // namespace gemma4
