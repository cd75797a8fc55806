// The messages of a chat, and the JSONL file they are kept in.
#pragma once

#include <optional>
#include <string>

#include "lib/io/json.h"
#include "tools/text_input.h"

namespace gemma4 {

class Conversation {
 public:
  /// In the chat-messages format: reasoning, content and tool calls of an answer apart, so that
  /// every turn can be rendered anew.
  const Json& messages() const { return messages_; }
  /// The first message's text when it is a system message, else empty.
  std::string system() const;
  /// Empty text removes the system message.
  void set_system(const std::string& text);

  void add(Json message) { messages_.push_back(std::move(message)); }
  /// `content`: a text, or a list of parts.
  void add_user(Json content);
  /// Takes the last user message and all that follows away. Nothing: there is none.
  std::optional<Json> undo();
  /// Takes what follows the last user message away. False: there is no user message.
  bool drop_answer();
  /// Takes all but the system message away.
  void reset();

  /// One message a line. Throws Error(kInput) and keeps the old messages when the file is bad.
  void load(const std::string& path, StandardInput& standard_input);
  /// The file appears whole. Throws Error(kResource).
  void save(const std::string& path) const;

 private:
  std::optional<size_t> last_user() const;
  void cut(size_t count);

  Json messages_ = Json::array();
};

}  // namespace gemma4
