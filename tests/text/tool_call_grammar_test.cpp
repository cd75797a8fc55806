#include "lib/text/grammar/tool_call_grammar.h"

#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/text/tool_arguments.h"
#include "tests/text/grammar_tools.h"

namespace gemma4 {
namespace {

Json tool(const char* name, const char* parameters) {
  return {{"type", "function"},
          {"function", {{"name", name}, {"parameters", Json::parse(parameters)}}}};
}

const char* const kWeather = R"({"type": "object", "properties": {
  "location": {"type": "string"},
  "Days": {"type": "integer", "minimum": 1, "maximum": 14},
  "unit": {"enum": ["celsius", "fahrenheit"]},
  "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}}},
  "required": ["location"]})";

// `text` with " for the string delimiter, and the end of the call.
std::string call(std::string text) {
  for (char& c : text) {
    if (c == '"') c = kStringDelimiter;
  }
  return "call:" + text + kToolCallEnd;
}

std::shared_ptr<const Grammar> grammar(const Json& tools, std::string_view only = {}) {
  return std::make_shared<const Grammar>(tool_call_grammar(tools, only));
}

TEST_CASE("a call of a declared tool with arguments that fit is taken, and nothing else") {
  const auto weather = grammar(Json::array({tool("weather", kWeather)}));
  for (const char* good :
       {R"(weather{location:"Rome"})", R"(weather{location:""})",
        R"(weather{Days:3,location:"a {b}, [c]: d",unit:"celsius"})",
        R"(weather{location:"x",tags:["a","bcd"]})", R"(weather{location:"x",tags:[]})"}) {
    CAPTURE(good);
    CHECK(fits(weather, call(good)));
  }
  for (const char* bad :
       {R"(weather{})", R"(weather{location:Rome})", R"(weather{location:"Rome",Days:3})",
        R"(weather{Days:15,location:"x"})", R"(weather{location:"x",unit:"kelvin"})",
        R"(weather{location:"x",tags:["abcd"]})", R"(weather{location:"x",more:1})",
        R"(wether{location:"x"})", R"(weather{location: "x"})", R"(weather{location:"x"}})"}) {
    CAPTURE(bad);
    CHECK_FALSE(fits(weather, call(bad)));
  }
  CHECK_FALSE(fits(weather, "call:weather{location:\"x\"}"));  // the quotes of JSON, and no end
}

TEST_CASE("a tool without parameters is called with none") {
  for (const Json& tools :
       {Json::array({{{"name", "ping"}}}), Json::array({tool("ping", "{}")}),
        Json::array({tool("ping", R"({"type": "object"})")}),
        Json::array({tool("ping", R"({"type": "object", "properties": {}})")})}) {
    CAPTURE(tools.dump());
    CHECK(fits(grammar(tools), call("ping{}")));
    CHECK_FALSE(fits(grammar(tools), call("ping{a:1}")));
  }
}

TEST_CASE("of several tools any may be called, or only the one that is named") {
  const Json tools =
      Json::array({tool("weather", kWeather), tool("weather2", "{}"), tool("we", "{}")});
  CHECK(fits(grammar(tools), call(R"(weather{location:"x"})")));
  CHECK(fits(grammar(tools), call("weather2{}")));
  CHECK(fits(grammar(tools), call("we{}")));
  CHECK_FALSE(fits(grammar(tools), call("w{}")));
  CHECK(fits(grammar(tools, "we"), call("we{}")));
  CHECK_FALSE(fits(grammar(tools, "we"), call("weather2{}")));
  CHECK_THROWS_AS(grammar(tools, "other"), Error);
}

TEST_CASE("keys of the caller's choice are bare words") {
  const auto open = grammar(Json::array(
      {tool("set", R"({"type": "object", "additionalProperties": {"type": "string"}})")}));
  CHECK(fits(open, call(R"(set{a-b:"x",c:"y"})")));
  CHECK_FALSE(fits(open, call(R"(set{a b:"x"})")));
  CHECK_FALSE(fits(open, call(R"(set{"a":"x"})")));
}

TEST_CASE("what a call cannot spell, or a schema cannot enforce, is refused by name") {
  const auto refusal = [](const Json& tools) -> std::string {
    try {
      tool_call_grammar(tools);
      return "";
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kUsage);
      return error.what();
    }
  };
  CHECK(refusal(Json::array({tool("a{b", "{}")})).find("a{b") != std::string::npos);
  CHECK(refusal(Json::array({tool("", "{}")})) != "");
  CHECK(refusal(Json::array(
                    {tool("f", R"({"type": "object", "properties": {"a:b": {"type": "null"}}})")}))
            .find("a:b") != std::string::npos);
  const std::string message = refusal(Json::array({tool(
      "f", R"({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": true}}})")}));
  CHECK(message.find("/properties/a") != std::string::npos);
  CHECK(message.find("tool f") != std::string::npos);
}

}  // namespace
}  // namespace gemma4
