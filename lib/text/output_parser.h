// Model output -> reasoning, content and tool calls, by token id, as it streams.
//
// The grammar and every rule: spec tokenizer-chat.md, section 5.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/io/json.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

struct ToolCall {
  std::string name;
  Json arguments = Json::object();
};

/// One piece of parsed output, in the order in which it appeared.
struct OutputEvent {
  enum class Kind { kReasoning, kContent, kToolCall };
  Kind kind;
  std::string text;  // kReasoning, kContent: text to append
  ToolCall call;     // kToolCall: a finished call
};

/// Complete output. The flags tell null (nothing there) from an empty string.
struct ParsedOutput {
  bool has_reasoning = false;
  bool has_content = false;
  std::string reasoning;
  std::string content;
  std::vector<ToolCall> tool_calls;
};

struct OutputParserOptions {
  bool thinking = false;       // the prompt asked for thinking
  bool in_reasoning = false;   // the prompt ends inside an open channel
  Json tools = Json::array();  // declared tools: their schemas type the arguments
};

/// Text that is shown as it grows, but for a label at its start and blanks at its end.
class HeldText {
 public:
  void append(std::string_view piece);
  /// Text that can be shown and has not been.
  std::string take();

  /// The text may still begin with the label "thought\n".
  bool may_be_label() const;
  /// Removes the label at the start; false when the text does not begin with it.
  bool remove_label();
  /// From now on nothing at the start counts as a label.
  void settle() { settled_ = true; }
  bool settled() const { return settled_; }

  /// All text, and the same without the blanks at its end.
  std::string_view text() const { return text_; }
  std::string_view trimmed() const { return std::string_view(text_).substr(0, trimmed_); }
  void clear();
  /// Also what was held back, at the end.
  void release_blanks() { trimmed_ = text_.size(); }

 private:
  std::string text_;
  size_t shown_ = 0;    // bytes that take() gave
  size_t trimmed_ = 0;  // bytes before the blanks at the end
  bool settled_ = false;
};

class OutputParser {
 public:
  /// `tokenizer` must outlive the parser. Without Gemma 4's chat tokens every text is content.
  OutputParser(const Tokenizer& tokenizer, OutputParserOptions options);

  /// Events that `id` completes (often none, or one piece of text). Text is valid UTF-8. Throws
  /// Error(kInput) for an id that the tokenizer does not have.
  std::vector<OutputEvent> push(TokenId id);
  /// Ends the output: what was held back, and an unfinished call as it stands.
  std::vector<OutputEvent> finish();

  /// The whole output so far by the rules for complete output, which differ from the events'
  /// sum only as the spec says (5.2: a closing marker without an opener; outer blanks beside
  /// calls). Call after finish().
  ParsedOutput result() const;

  /// True while a channel is open (the next token is reasoning).
  bool in_reasoning() const { return state_ == State::kReasoning; }
  /// Tokens pushed inside channels, the markers themselves not counted.
  int64_t reasoning_tokens() const { return reasoning_tokens_; }

 private:
  enum class State { kContent, kReasoning, kCall };
  using Events = std::vector<OutputEvent>;

  void add_text(std::string_view text, Events& events);
  void open_channel();
  void close_channel(Events& events);
  void close_call(Events& events);
  void show_content(Events& events);
  void show_reasoning(Events& events);
  /// The content so far cannot begin with the label any more.
  void settle_start(Events& events);
  const Json* parameters_of(std::string_view tool) const;

  const Tokenizer* tokenizer_;
  OutputParserOptions options_;
  StreamDecoder decoder_;
  struct {
    TokenId open_channel, close_channel, open_call, close_call, string_delimiter;
    TokenId end_of_turn, end_of_text, tool_response;
  } markers_;  // -1: the tokenizer has none

  State state_ = State::kContent;
  HeldText content_;
  size_t content_begin_ = 0;  // where it begins for result(): behind a lost channel
  HeldText block_;            // the open channel
  std::string reasoning_;     // of the closed ones
  std::string call_;          // text of the open call, with kStringDelimiter
  std::vector<ToolCall> calls_;
  bool marker_seen_ = false;  // a channel or a call was opened
  bool content_shown_ = false;
  bool block_shown_ = false;
  int64_t text_tokens_ = 0;
  int64_t reasoning_tokens_ = 0;
};

}  // namespace gemma4
