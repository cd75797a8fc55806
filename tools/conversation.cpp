#include "tools/conversation.h"

#include <fmt/format.h>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "tools/answer_json.h"
#include "tools/prompt.h"

namespace gemma4 {

std::string Conversation::system() const {
  if (messages_.empty() || messages_[0]["role"] != "system") return {};
  const Json& content = messages_[0]["content"];
  return content.is_string() ? content.get<std::string>() : content.dump();
}

void Conversation::set_system(const std::string& text) {
  if (!messages_.empty() && messages_[0]["role"] == "system") messages_.erase(messages_.begin());
  if (text.empty()) return;
  messages_.insert(messages_.begin(), Json{{"role", "system"}, {"content", text}});
}

void Conversation::add_user(Json content) {
  add({{"role", "user"}, {"content", std::move(content)}});
}

std::optional<size_t> Conversation::last_user() const {
  for (size_t i = messages_.size(); i-- > 0;) {
    if (messages_[i]["role"] == "user") return i;
  }
  return std::nullopt;
}

void Conversation::cut(size_t count) {
  while (messages_.size() > count) messages_.erase(messages_.size() - 1);
}

std::optional<Json> Conversation::undo() {
  const auto last = last_user();
  if (!last) return std::nullopt;
  Json message = messages_[*last];
  cut(*last);
  return message;
}

bool Conversation::drop_answer() {
  const auto last = last_user();
  if (last) cut(*last + 1);
  return last.has_value();
}

void Conversation::reset() { cut(system().empty() ? 0 : 1); }

void Conversation::load(const std::string& path, StandardInput& standard_input) {
  const std::string text = read_input(path, standard_input);
  Json messages = Json::array();
  size_t number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == line.npos) continue;
    messages.push_back(
        parse_json(line, fmt::format("{} line {}", path, number), ErrorKind::kInput));
  }
  if (!messages.empty()) check_messages(messages, path);
  messages_ = std::move(messages);
}

void Conversation::save(const std::string& path) const {
  std::string text;
  for (const Json& message : messages_) text += json_line(message);
  write_file_atomically(path, text);
}

}  // namespace gemma4
