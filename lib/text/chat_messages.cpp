#include "lib/text/chat_messages.h"

#include <string>
#include <string_view>

namespace gemma4 {
namespace {

[[noreturn]] void refuse(std::string_view what, const std::string& place,
                         std::string_view hint = {}) {
  throw Error(ErrorKind::kInput, what, place, hint);
}

/// The member, or null when it is missing.
const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  const auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

void require_text_or_null(const Json& object, const char* name, const std::string& place) {
  const Json& value = member(object, name);
  if (!value.is_null() && !value.is_string()) refuse("must be a string", place + "/" + name);
}

void check_parts(const Json& parts, const std::string& place) {
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string here = place + "/" + std::to_string(i);
    if (!parts[i].is_object()) refuse("a part of a message must be an object", here);
    const Json& type = member(parts[i], "type");
    if (!type.is_string()) refuse("a part of a message needs a type", here + "/type");
    if (type == "text" && !member(parts[i], "text").is_string()) {
      refuse("a text part needs its text", here + "/text");
    }
  }
}

void check_content(const Json& message, const std::string& place) {
  const Json& content = member(message, "content");
  if (content.is_null() || content.is_string()) return;
  if (content.is_array()) return check_parts(content, place + "/content");
  if (member(message, "role") == "tool") return;
  refuse("content must be a string, a list of parts or null", place + "/content");
}

void prepare_calls(Json& message, const std::string& place) {
  const auto calls = message.find("tool_calls");
  if (calls == message.end() || calls->is_null()) return;
  if (!calls->is_array()) refuse("tool_calls must be a list", place + "/tool_calls");
  for (size_t i = 0; i < calls->size(); ++i) {
    const std::string here = place + "/tool_calls/" + std::to_string(i);
    Json& call = (*calls)[i];
    if (!call.is_object() || !member(call, "function").is_object()) {
      refuse("a tool call needs a function", here + "/function");
    }
    Json& function = call["function"];
    if (!member(function, "name").is_string()) {
      refuse("a tool call needs the function's name", here + "/function/name");
    }
    const std::string arguments_place = here + "/function/arguments";
    Json& arguments = function["arguments"];
    if (arguments.is_string()) {
      const std::string text = arguments;
      arguments = parse_json(text, arguments_place, ErrorKind::kInput);
    }
    if (!arguments.is_null() && !arguments.is_object()) {
      refuse("arguments of a tool call must be a JSON object", arguments_place);
    }
  }
}

void prepare_message(Json& message, const std::string& place) {
  if (!message.is_object()) refuse("a message must be an object", place);
  if (!member(message, "role").is_string()) refuse("a message needs a role", place + "/role");
  check_content(message, place);
  require_text_or_null(message, "reasoning", place);
  require_text_or_null(message, "reasoning_content", place);
  require_text_or_null(message, "name", place);
  prepare_calls(message, place);
  const Json& responses = member(message, "tool_responses");
  if (!responses.is_null() && !responses.is_array()) {
    refuse("tool_responses must be a list", place + "/tool_responses");
  }
}

bool is_tool_message(const Json& message) { return member(message, "role") == "tool"; }

/// The function that a result belongs to: by the call's id, else by the result's own name.
Json result_name(const Json& calls, const Json& result) {
  Json name = member(result, "name");
  for (const Json& call : calls) {
    if (member(call, "id") == member(result, "tool_call_id")) name = call["function"]["name"];
  }
  return name;
}

/// A result's body, for tool_responses: parts become their joined text.
Json result_body(const Json& result, const std::string& place) {
  const Json& content = member(result, "content");
  if (!content.is_array()) return content;
  std::string text;
  for (const Json& part : content) {
    if (part["type"] != "text") {
      refuse("media and objects cannot be mixed in the results of one message's tool calls",
             place + "/content", "give the objects as text");
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

/// Moves the results of the calls of message `index` when one of them is an object.
void move_object_results(Json& messages, size_t index) {
  const Json& calls = member(messages[index], "tool_calls");
  if (!calls.is_array() || calls.empty()) return;
  const Json& given = member(messages[index], "tool_responses");
  if (given.is_array() && !given.empty()) return;
  bool has_object = false;
  size_t end = index + 1;
  for (; end < messages.size() && is_tool_message(messages[end]); ++end) {
    const Json& content = member(messages[end], "content");
    has_object |= content.is_object();
  }
  if (!has_object) return;
  Json responses = Json::array();
  for (size_t i = index + 1; i < end; ++i) {
    Json response = Json::object();
    response["name"] = result_name(calls, messages[i]);
    response["response"] = result_body(messages[i], "messages/" + std::to_string(i));
    responses.push_back(std::move(response));
    messages[i]["content"] = nullptr;
  }
  messages[index]["tool_responses"] = std::move(responses);
}

}  // namespace

Json prepare_messages(const Json& messages) {
  if (!messages.is_array()) refuse("messages must be a list", "messages");
  Json prepared = messages;
  for (size_t i = 0; i < prepared.size(); ++i) {
    prepare_message(prepared[i], "messages/" + std::to_string(i));
  }
  for (size_t i = 0; i < prepared.size(); ++i) move_object_results(prepared, i);
  return prepared;
}

void check_tools(const Json& tools) {
  if (tools.is_null()) return;
  if (!tools.is_array()) refuse("tools must be a list", "tools");
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string place = "tools/" + std::to_string(i);
    if (!tools[i].is_object() || !member(tools[i], "function").is_object()) {
      refuse("a tool needs a function", place + "/function");
    }
    if (!member(tools[i]["function"], "name").is_string()) {
      refuse("a tool needs its function's name", place + "/function/name");
    }
  }
}

}  // namespace gemma4
