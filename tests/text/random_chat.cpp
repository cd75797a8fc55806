#include "tests/text/random_chat.h"

#include <cmath>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

namespace gemma4 {
namespace {

class Generator {
 public:
  explicit Generator(uint64_t seed) : random_(seed) {}

  RandomChat chat() {
    RandomChat chat;
    chat.options = {chance(2), !chance(4), chance(2), chance(2)};
    chat.messages = Json::array();
    const int count = below(8);
    for (int i = 0; i < count; ++i) chat.messages.push_back(message());
    if (chance(2)) {
      chat.tools = Json::array();
      for (int i = below(4); i > 0; --i) chat.tools.push_back(tool());
    }
    return chat;
  }

 private:
  int below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  bool chance(int one_in) { return below(one_in) == 0; }

  std::string one_of(std::initializer_list<const char*> choices) {
    return *(choices.begin() + below(static_cast<int>(choices.size())));
  }

  std::string text() {
    std::string out;
    for (int i = below(6); i > 0; --i) {
      out += one_of({"word",
                     " ",
                     "\n",
                     "  \t",
                     "'quoted'",
                     "\"double\"",
                     "\xE2\x80\x83",
                     "\xC2\xA0",
                     "Grüße",
                     "日本",
                     "👩🏽‍🚀",
                     "<|channel>",
                     "<channel|>",
                     "<|channel>thought\nhm<channel|>",
                     "<|turn>",
                     "<turn|>",
                     "{",
                     "}",
                     ",",
                     ":",
                     "<|\"|>",
                     "{{ x }}",
                     "{% if %}",
                     "\\n",
                     "\xE2\x80\x8B",
                     "None",
                     "0"});
    }
    return out;
  }

  std::string key() {
    return one_of({"city",   "Days",  "units", "_x",          "10",         "9",        "Zed",
                   "alpha2", "Alpha", "type",  "description", "properties", "required", "nullable",
                   "enum",   "items", "get",   "键",          "with space", "name"});
  }

  Json number() {
    switch (below(6)) {
      case 0:
        return below(1000) - 500;
      case 1:
        return below(1000) / 8.0;
      case 2:
        return (below(2000000) - 1000000) * 1e-9;
      case 3:
        return std::ldexp(static_cast<double>(random_() % 1000000007), below(200) - 100);
      case 4:
        return static_cast<uint64_t>(random_());
      default:
        return static_cast<double>(below(100));
    }
  }

  Json value(int depth) {
    switch (below(depth > 0 ? 8 : 6)) {
      case 0:
        return nullptr;
      case 1:
        return chance(2);
      case 2:
      case 3:
        return number();
      case 4:
      case 5:
        return text();
      case 6: {
        Json list = Json::array();
        for (int i = below(4); i > 0; --i) list.push_back(value(depth - 1));
        return list;
      }
      default:
        return object(depth - 1);
    }
  }

  Json object(int depth) {
    Json result = Json::object();
    for (int i = below(5); i > 0; --i) result[key()] = value(depth);
    return result;
  }

  Json names() {
    Json list = Json::array();
    for (int i = below(3); i > 0; --i) list.push_back(key());
    return list;
  }

  Json type() {
    if (chance(8)) return Json::array({one_of({"string", "integer"}), "null"});
    return one_of(
        {"string", "STRING", "integer", "number", "boolean", "array", "Array", "object", "OBJECT"});
  }

  Json properties(int depth) {
    Json result = Json::object();
    for (int i = below(4); i > 0; --i) result[key()] = schema(depth - 1);
    return result;
  }

  Json schema(int depth) {
    Json result = Json::object();
    if (!chance(8)) result["type"] = type();
    if (chance(2)) result["description"] = chance(8) ? Json(nullptr) : Json(text());
    if (chance(4)) result["enum"] = Json::array({text(), number(), nullptr});
    if (chance(4)) result["nullable"] = chance(2);
    if (chance(4)) result["default"] = value(0);
    if (chance(6)) result["additionalProperties"] = chance(2);
    if (chance(6)) result["minimum"] = number();
    if (chance(3)) result["required"] = names();
    if (depth > 0 && chance(2)) result["properties"] = properties(depth);
    if (depth > 0 && chance(2)) result["items"] = chance(8) ? Json(true) : schema(depth - 1);
    return result;
  }

  Json tool() {
    Json function = {{"name", one_of({"get_forecast", "ping", "a-b.c"})}};
    if (!chance(6)) function["description"] = chance(8) ? Json(nullptr) : Json(text());
    if (!chance(6)) {
      Json parameters = Json::object();
      if (!chance(8)) parameters["type"] = "object";
      if (!chance(4)) parameters["properties"] = properties(3);
      if (chance(2)) parameters["required"] = names();
      function["parameters"] = parameters;
    }
    if (chance(4)) {
      function["response"] = Json::object();
      if (chance(2)) function["response"]["description"] = text();
      if (chance(2)) function["response"]["type"] = one_of({"object", "string"});
    }
    return {{"type", "function"}, {"function", function}};
  }

  Json parts() {
    Json list = Json::array();
    for (int i = below(4); i > 0; --i) {
      const std::string type =
          one_of({"text", "text", "image", "image_url", "audio", "input_audio", "video", "file"});
      Json part = {{"type", type}};
      if (type == "text") part["text"] = text();
      list.push_back(part);
    }
    return list;
  }

  Json content() {
    if (chance(6)) return nullptr;
    if (chance(3)) return parts();
    return text();
  }

  Json call() {
    Json function = {{"name", one_of({"get_forecast", "ping"})}};
    function["arguments"] = chance(6) ? Json(nullptr) : object(3);
    Json result = {{"type", "function"}, {"function", function}};
    if (!chance(4)) result["id"] = one_of({"a", "b", "c"});
    return result;
  }

  Json message() {
    Json message = {{"role", one_of({"system", "developer", "user", "user", "assistant",
                                     "assistant", "assistant", "tool", "tool"})}};
    if (message["role"] == "tool") {
      if (!chance(4)) message["tool_call_id"] = one_of({"a", "b", "c"});
      if (chance(3)) message["name"] = one_of({"other", ""});
      message["content"] = content();
      return message;
    }
    if (!chance(6)) message["content"] = content();
    if (message["role"] != "assistant") return message;
    if (chance(3)) message[one_of({"reasoning", "reasoning_content"})] = text();
    if (chance(2)) {
      message["tool_calls"] = Json::array();
      for (int i = below(3); i > 0; --i) message["tool_calls"].push_back(call());
    }
    if (chance(6)) {
      Json response = {{"response", value(2)}};
      if (chance(2)) response["name"] = chance(3) ? Json(nullptr) : Json("ping");
      message["tool_responses"] = Json::array({response});
    }
    return message;
  }

  std::mt19937_64 random_;
};

}  // namespace

RandomChat random_chat(uint64_t seed) { return Generator(seed).chat(); }

}  // namespace gemma4
