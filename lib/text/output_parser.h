// Model output -> reasoning, content and tool calls, by token id, as it streams.
//
// The grammar and every rule: spec tokenizer-chat.md, section 5.
#pragma once

#include <string>
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
  std::string text;   // kReasoning, kContent: text to append
  ToolCall call;      // kToolCall: a finished call
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
  bool thinking = false;         // the prompt asked for thinking
  bool in_reasoning = false;     // the prompt ends inside an open channel
  Json tools = Json::array();    // declared tools: their schemas type the arguments
};

class OutputParser {
 public:
  /// A tokenizer without Gemma 4's chat tokens makes every token content.
  OutputParser(const Tokenizer& tokenizer, OutputParserOptions options);

  /// Events that `id` completes (often none, or one piece of text). Text is valid UTF-8.
  std::vector<OutputEvent> push(TokenId id);
  /// Ends the output: what was held back, and an unfinished call as it stands.
  std::vector<OutputEvent> finish();

  /// The whole output so far by the rules for complete output, which differ from the events'
  /// sum only as the spec says (5.2: a closing marker without an opener; outer blanks beside
  /// calls). Call after finish().
  ParsedOutput result() const;

  /// True while a channel is open (the next token is reasoning).
  bool in_reasoning() const;
  /// Tokens pushed that were part of a channel.
  int64_t reasoning_tokens() const;

 private:
  // Left to the implementation.
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace gemma4
