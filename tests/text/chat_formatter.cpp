#include "tests/text/chat_formatter.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace gemma4 {
namespace {

const Json& at(const Json& object, const std::string& key) {
  static const Json kNull;
  return object.is_object() && object.contains(key) ? object[key] : kNull;
}

std::string quoted(const std::string& text) { return "<|\"|>" + text + "<|\"|>"; }

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  return text;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return text;
}

// Python's str.strip().
std::string trim(const std::string& text) {
  static const std::vector<std::string> kSpaces = {
      "\t",           "\n",           "\v",           "\f",           "\r",
      "\x1C",         "\x1D",         "\x1E",         "\x1F",         " ",
      "\xC2\x85",     "\xC2\xA0",     "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81",
      "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84", "\xE2\x80\x85", "\xE2\x80\x86",
      "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xA8",
      "\xE2\x80\xA9", "\xE2\x80\xAF", "\xE2\x81\x9F", "\xE3\x80\x80"};
  size_t begin = 0, end = text.size();
  for (bool found = true; found;) {
    found = false;
    for (const std::string& space : kSpaces) {
      if (end - begin >= space.size() && text.compare(begin, space.size(), space) == 0) {
        begin += space.size();
        found = true;
      }
      if (end - begin >= space.size() &&
          text.compare(end - space.size(), space.size(), space) == 0) {
        end -= space.size();
        found = true;
      }
    }
  }
  return text.substr(begin, end - begin);
}

std::vector<std::string> sorted_keys(const Json& object) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  std::stable_sort(keys.begin(), keys.end(),
                   [](const std::string& a, const std::string& b) { return lower(a) < lower(b); });
  return keys;
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (size_t i = 0; i < parts.size(); ++i) out += (i > 0 ? "," : "") + parts[i];
  return out;
}

// The fewest digits that read back the same, in Python's layout.
std::string float_repr(double value) {
  char text[64];
  int precision = 0;
  do {
    std::snprintf(text, sizeof(text), "%.*e", precision++, value);
  } while (std::strtod(text, nullptr) != value);
  const std::string scientific = text;
  const int exponent = std::atoi(scientific.substr(scientific.find('e') + 1).c_str());
  if (exponent < -4 || exponent >= 16) return scientific;
  std::snprintf(text, sizeof(text), "%.*f", std::max(precision - 1 - exponent, 1), value);
  return text;
}

std::string format_value(const Json& value, bool bare_keys) {
  if (value.is_null()) return "null";
  if (value.is_string()) return quoted(value);
  if (value.is_boolean()) return value.get<bool>() ? "true" : "false";
  if (value.is_number_float()) return float_repr(value);
  if (value.is_number()) return value.dump();
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const Json& item : value) parts.push_back(format_value(item, bare_keys));
    return "[" + join(parts) + "]";
  }
  for (const std::string& key : sorted_keys(value)) {
    parts.push_back((bare_keys ? key : quoted(key)) + ":" + format_value(value[key], bare_keys));
  }
  return "{" + join(parts) + "}";
}

// What a placeholder in a template prints.
std::string printed(const Json& value) {
  if (value.is_string()) return value;
  if (value.is_null()) return "None";
  return format_value(value, true);
}

// Non-empty, not zero, not null.
bool truth(const Json& value) {
  if (value.is_string()) return value != "";
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value != 0;
  return !value.empty();
}

std::string type_text(const Json& type) {
  if (type.is_string()) return upper(type);
  if (!type.is_array()) return "";
  std::string out = "[";
  for (size_t i = 0; i < type.size(); ++i) {
    out += (i > 0 ? ", '" : "'") + type[i].get<std::string>() + "'";
  }
  return upper(out + "]");
}

std::string quoted_list(const Json& names) {
  std::vector<std::string> parts;
  for (const Json& name : names) parts.push_back(quoted(name));
  return "[" + join(parts) + "]";
}

std::string format_properties(const Json& properties, bool skip_keywords = false);

std::string format_items(const Json& items) {
  std::vector<std::string> parts;
  for (const std::string& key : sorted_keys(items)) {
    const Json& value = items[key];
    if (value.is_null()) continue;
    std::string text;
    if (key == "properties") {
      text = "{" + (value.is_object() ? format_properties(value) : "") + "}";
    } else if (key == "required") {
      text = quoted_list(value);
    } else if (key == "type" && value.is_string()) {
      text = quoted(upper(value));
    } else if (key == "type") {
      std::vector<std::string> types;
      for (const Json& type : value) types.push_back(quoted(upper(type)));
      text = "[" + join(types) + "]";
    } else {
      text = format_value(value, false);
    }
    parts.push_back(key + ":" + text);
  }
  return "{" + join(parts) + "}";
}

std::string format_property(const Json& schema) {
  std::vector<std::string> parts;
  const std::string type = type_text(at(schema, "type"));
  if (truth(at(schema, "description"))) {
    parts.push_back("description:" + quoted(printed(at(schema, "description"))));
  }
  if (type == "STRING" && truth(at(schema, "enum"))) {
    parts.push_back("enum:" + format_value(schema["enum"], false));
  }
  const Json& items = at(schema, "items");
  if (type == "ARRAY" && items.is_object() && !items.empty()) {
    parts.push_back("items:" + format_items(items));
  }
  if (truth(at(schema, "nullable"))) parts.push_back("nullable:true");
  if (type == "OBJECT") {
    const Json& properties = at(schema, "properties");
    parts.push_back(
        "properties:{" +
        (properties.is_object() ? format_properties(properties) : format_properties(schema, true)) +
        "}");
    if (truth(at(schema, "required"))) {
      parts.push_back("required:" + quoted_list(schema["required"]));
    }
  }
  parts.push_back("type:" + quoted(type));
  return "{" + join(parts) + "}";
}

std::string format_properties(const Json& properties, bool skip_keywords) {
  static const std::vector<std::string> kKeywords = {"description", "type", "properties",
                                                     "required", "nullable"};
  std::vector<std::string> parts;
  for (const std::string& key : sorted_keys(properties)) {
    const bool is_keyword = std::find(kKeywords.begin(), kKeywords.end(), key) != kKeywords.end();
    if (!skip_keywords || !is_keyword)
      parts.push_back(key + ":" + format_property(properties[key]));
  }
  return join(parts);
}

std::string format_tool(const Json& function) {
  std::string out = "declaration:" + function["name"].get<std::string>() + "{description:";
  out += quoted(function.contains("description") ? printed(function["description"]) : "");
  const Json& parameters = at(function, "parameters");
  if (truth(parameters)) {
    out += ",parameters:{";
    if (truth(at(parameters, "properties"))) {
      out += "properties:{" + format_properties(parameters["properties"]) + "},";
    }
    if (truth(at(parameters, "required"))) {
      out += "required:" + quoted_list(parameters["required"]) + ",";
    }
    if (truth(at(parameters, "type"))) out += "type:" + quoted(type_text(parameters["type"])) + "}";
  }
  if (function.contains("response")) {
    const Json& response = function["response"];
    out += ",response:{";
    if (truth(at(response, "description"))) {
      out += "description:" + quoted(printed(response["description"])) + ",";
    }
    if (type_text(at(response, "type")) == "OBJECT") out += "type:" + quoted("OBJECT") + "}";
  }
  return out + "}";
}

std::string without_thoughts(const std::string& text) {
  const std::string closer = "<channel|>", opener = "<|channel>";
  std::string out;
  for (size_t from = 0;;) {
    const size_t end = text.find(closer, from);
    const std::string part = text.substr(from, end == std::string::npos ? end : end - from);
    out += part.substr(0, part.find(opener));
    if (end == std::string::npos) return trim(out);
    from = end + closer.size();
  }
}

std::string format_media(const Json& part) {
  const std::string type = part["type"];
  if (type == "image" || type == "image_url") return "<|image|>";
  if (type == "audio" || type == "input_audio") return "<|audio|>";
  return type == "video" ? "<|video|>" : "";
}

std::string format_content(const Json& message) {
  const Json& content = at(message, "content");
  const auto clean = [&](const std::string& text) {
    return message["role"] == "assistant" ? without_thoughts(text) : trim(text);
  };
  if (content.is_string()) return clean(content);
  std::string out;
  if (!content.is_array()) return out;
  for (const Json& part : content) {
    out += part["type"] == "text" ? clean(part["text"]) : format_media(part);
  }
  return out;
}

std::string response_block(const Json& name, const Json& body) {
  const std::string shown = truth(name) ? name.get<std::string>() : "unknown";
  std::string inner;
  if (body.is_object()) {
    inner = format_value(body, true);
  } else {
    inner = "{value:" + format_value(body, true) + "}";
  }
  return "<|tool_response>response:" + shown + inner + "<tool_response|>";
}

std::string format_tool_message(const Json& message, const Json& calls) {
  Json name = at(message, "name");
  for (const Json& call : calls) {
    if (at(call, "id") == at(message, "tool_call_id")) name = call["function"]["name"];
  }
  const Json& content = at(message, "content");
  if (!content.is_array()) return response_block(name, content);
  std::string text, media;
  for (const Json& part : content) {
    if (part["type"] == "text") {
      text += part["text"];
    } else {
      media += format_media(part);
    }
  }
  return response_block(name, text) + media;
}

enum class State { kPlain, kPending, kAnswered };

class Formatter {
 public:
  Formatter(const Json& messages, const Json& tools, const FormatOptions& options)
      : messages_(messages), tools_(tools), options_(options) {}

  std::string run() {
    out_ = "<bos>";
    write_system();
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i]["role"] == "user") last_user_ = static_cast<int>(i);
    }
    for (size_t i = 0; i < messages_.size(); ++i) {
      if (messages_[i]["role"] != "tool") write_message(i);
    }
    if (options_.add_generation_prompt) write_generation_prompt();
    return out_;
  }

 private:
  void write_system() {
    const bool has_system = !messages_.empty() && (messages_[0]["role"] == "system" ||
                                                   messages_[0]["role"] == "developer");
    if (!options_.enable_thinking && !truth(tools_) && !has_system) return;
    out_ += "<|turn>system\n";
    if (options_.enable_thinking) out_ += "<|think|>\n";
    if (has_system) {
      const Json& content = at(messages_[0], "content");
      if (content.is_string()) out_ += trim(content);
      if (content.is_array()) {
        for (const Json& part : content) {
          out_ += (part.contains("text") ? trim(part["text"]) : "") + " ";
        }
      }
      messages_.erase(0);
    }
    for (const Json& tool : tools_) out_ += "<|tool>" + format_tool(tool["function"]) + "<tool|>";
    out_ += "<turn|>\n";
  }

  // The role of the nearest message before or after `index` that is not a tool's; "" for none.
  std::string neighbour(size_t index, int step) const {
    for (int i = static_cast<int>(index) + step; i >= 0 && i < static_cast<int>(messages_.size());
         i += step) {
      if (messages_[static_cast<size_t>(i)]["role"] != "tool") {
        return messages_[static_cast<size_t>(i)]["role"];
      }
    }
    return "";
  }

  void write_message(size_t index) {
    const Json& message = messages_[index];
    const std::string role = message["role"];
    const bool is_assistant = role == "assistant";
    if (!is_assistant || neighbour(index, -1) != "assistant") {
      out_ += "<|turn>" + (is_assistant ? "model" : role) + "\n";
    }
    const Json& calls = at(message, "tool_calls");
    const Json& thoughts =
        truth(at(message, "reasoning")) ? message["reasoning"] : at(message, "reasoning_content");
    if (truth(thoughts) &&
        (static_cast<int>(index) > last_user_ || (options_.preserve_thinking && truth(calls)))) {
      out_ += "<|channel>thought\n" + thoughts.get<std::string>() + "\n<channel|>";
    }
    for (const Json& call : calls) {
      const Json& arguments = at(call["function"], "arguments");
      out_ += "<|tool_call>call:" + call["function"]["name"].get<std::string>() +
              (arguments.is_null() ? "{}" : format_value(arguments, true)) + "<tool_call|>";
    }
    state_ = truth(calls) ? State::kPending : State::kPlain;
    write_responses(index);
    const std::string content = format_content(message);
    out_ += content;
    write_close(index, trim(content).empty());
  }

  void write_responses(size_t index) {
    const Json& message = messages_[index];
    const Json& responses = at(message, "tool_responses");
    if (truth(responses)) {
      for (const Json& response : responses) {
        out_ += response_block(at(response, "name"), at(response, "response"));
      }
      state_ = State::kAnswered;
      return;
    }
    const Json& calls = at(message, "tool_calls");
    if (!truth(calls)) return;
    for (size_t i = index + 1; i < messages_.size() && messages_[i]["role"] == "tool"; ++i) {
      out_ += format_tool_message(messages_[i], calls);
      state_ = State::kAnswered;
    }
  }

  void write_close(size_t index, bool is_empty) {
    const std::string next = neighbour(index, 1);
    if (state_ == State::kPending) {
      out_ += "<|tool_response>";
    } else if (messages_[index]["role"] == "assistant" && next == "assistant") {
      return;
    } else if (state_ != State::kAnswered || !is_empty || next != "") {
      out_ += "<turn|>\n";
    }
  }

  void write_generation_prompt() {
    if (state_ == State::kPlain) {
      out_ += "<|turn>model\n";
      if (options_.large && !options_.enable_thinking) out_ += "<|channel>thought\n<channel|>";
    } else if (state_ == State::kAnswered && options_.enable_thinking) {
      out_ += "<|channel>thought\n";
    }
  }

  Json messages_;
  Json tools_;
  FormatOptions options_;
  std::string out_;
  int last_user_ = -1;
  State state_ = State::kPlain;
};

}  // namespace

std::string format_chat(const Json& messages, const Json& tools, const FormatOptions& options) {
  return Formatter(messages, tools, options).run();
}

}  // namespace gemma4
