#include "lib/text/tool_arguments.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <random>

namespace gemma4 {
namespace {

// `text` with Q for the string delimiter.
Json parsed(std::string text, const Json* parameters = nullptr) {
  for (char& c : text) {
    if (c == 'Q') c = kStringDelimiter;
  }
  return parse_tool_arguments(text, parameters);
}

std::string dumped(std::string text) { return parsed(std::move(text)).dump(); }

TEST_CASE("argument text of every kind becomes JSON") {
  CHECK(dumped("") == "{}");
  CHECK(dumped("  }") == "{}");
  CHECK(dumped("location:QParis, FranceQ}") == R"({"location":"Paris, France"})");
  CHECK(dumped("a:{b:QvQ}}") == R"({"a":{"b":"v"}})");
  CHECK(dumped("a:[Q[a]bQ,QcQ]}") == R"({"a":["[a]b","c"]})");
  CHECK(dumped("Qlocation Q:1}") == R"({"location":1})");
  CHECK(
      dumped("a:1,b:-2.5,c:true,d:null,e:None,f:1e3,g:word x ,h:108.,i:-0.0}") ==
      R"({"a":1,"b":-2.5,"c":true,"d":null,"e":null,"f":1000.0,"g":"word x","h":108.0,"i":-0.0})");
  CHECK(dumped("a:01,b:+1,c:1.2.3,d:-,e:TRUE,f:.5}") ==
        R"({"a":"01","b":"+1","c":"1.2.3","d":"-","e":"TRUE","f":".5"})");
  CHECK(dumped(" a : 1 ,,\n\tb:[ 1 , 2 ], }") == R"({"a":1,"b":[1,2]})");
  CHECK(dumped("a:1,b:2,a:3}") == R"({"a":3,"b":2})");
  CHECK(dumped("t:12:30}") == R"({"t":"12:30"})");
}

TEST_CASE("damaged argument text gives what can be saved, and ends") {
  CHECK(dumped("a:QLi") == R"({"a":"Li"})");
  CHECK(dumped("a:") == R"({"a":""})");
  CHECK(dumped("a:}") == R"({"a":""})");
  CHECK(dumped("a:1,b") == R"({"a":1})");
  CHECK(dumped("a:12") == R"({"a":12})");
  CHECK(dumped("o:{v:tr") == R"({"o":{}})");
  CHECK(dumped("o:{v:1,w:tr") == R"({"o":{"v":1}})");
  CHECK(dumped("o:[1,tr") == R"({"o":[1]})");
  CHECK(dumped("o:{v:QLi") == R"({"o":{"v":"Li"}})");
  CHECK(dumped("o:[QaQ,Qb") == R"({"o":["a","b"]})");
  CHECK(dumped("a:xQyQ}") == R"({"a":"x<|\"|>y<|\"|>"})");
  CHECK_NOTHROW(parsed(":[t:[]"));
  CHECK_NOTHROW(parsed("a:42,]x"));
  CHECK_NOTHROW(parsed("a:[42,]x]}"));
  CHECK_NOTHROW(parsed("a:[}}}]]]{{{"));
  CHECK_NOTHROW(parsed("a:[Q"));
  CHECK_NOTHROW(parsed("QQQ:QQQ"));
}

TEST_CASE("values nested too deeply stay text") {
  const std::string deep = "a:" + std::string(100000, '[') + std::string(100000, ']') + "}";
  Json value = parsed(deep)["a"];
  int levels = 0;
  while (value.is_array() && !value.empty()) {
    value = Json(value[0]);
    ++levels;
  }
  CHECK(levels == 64);
  CHECK(value.is_string());
}

TEST_CASE("very many members take time that grows with their number") {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += fmt::format("k{}:1,", i);
  CHECK(parsed(text).size() == 100000);
}

TEST_CASE("a declared key is typed by its schema, from the text itself") {
  const auto coerced = [](const std::string& value, const std::string& schema) {
    const Json parameters = {{"type", "object"}, {"properties", {{"k", Json::parse(schema)}}}};
    return parsed("k:" + value + "}", &parameters)["k"].dump();
  };
  CHECK(coerced("42", R"({"type":"string"})") == R"("42")");
  CHECK(coerced("null", R"({"type":"string"})") == R"("null")");
  CHECK(coerced("QNULLQ", R"({"type":["string","null"]})") == "null");
  CHECK(coerced("Q4Q", R"({"type":"integer"})") == "4");
  CHECK(coerced("2.5", R"({"type":"integer"})") == "2.5");
  CHECK(coerced("Q12.0Q", R"({"type":"number"})") == "12");
  CHECK(coerced("99.5", R"({"type":"number"})") == "99.5");
  CHECK(coerced("QinfQ", R"({"type":"number"})") == R"("inf")");
  CHECK(coerced("Q1e400Q", R"({"type":"number"})") == R"("1e400")");
  CHECK(coerced("QFalseQ", R"({"type":"boolean"})") == "false");
  CHECK(coerced("1", R"({"type":"boolean"})") == "true");
  CHECK(coerced("1", R"({"type":["boolean","integer"]})") == "1");
  CHECK(coerced("Q{\"a\": [1]}Q", R"({"type":"object"})") == R"({"a":[1]})");
  CHECK(coerced("Q[1]Q", R"({"type":"object"})") == "[1]");
  CHECK(coerced("Q[1Q", R"({"type":"array"})") == R"("[1")");
  CHECK(coerced("5", R"({"enum":["5",6]})") == "5");
  CHECK(coerced("5", R"({"enum":["5","6"]})") == R"("5")");
  CHECK(coerced("null", R"({"anyOf":[{"type":"integer"},{"type":"null"}]})") == "null");
  CHECK(coerced("7", R"({"oneOf":[{"allOf":[{"type":"string"}]}]})") == R"("7")");
  CHECK(coerced("[1,Q2Q]", R"({"type":"array","items":{"type":"string"}})") == R"(["1","2"])");
  CHECK(coerced("{n:Q2Q,m:Q2Q}", R"({"properties":{"n":{"type":"integer"}}})") ==
        R"({"n":2,"m":"2"})");
  CHECK(coerced("5", R"({"description":"no type"})") == "5");
  CHECK(coerced("Q5Q", R"({"description":"no type"})") == R"("5")");
  CHECK(coerced("Q5Q", "true") == R"("5")");
}

TEST_CASE("a schema that is not one types nothing") {
  for (const char* schema : {"null", "[]", "5", R"({"properties":[]})",
                             R"({"properties":{"k":{"type":{"a":1},"enum":5,"anyOf":[1]}}})"}) {
    const Json parameters = Json::parse(schema);
    CHECK(parsed("k:1}", &parameters).dump() == R"({"k":1})");
  }
}

// Values as the chat template prints them in calls: spec 4.5.
std::string formatted(const Json& value) {
  if (value.is_string()) return kStringDelimiter + value.get<std::string>() + kStringDelimiter;
  std::string text;
  if (value.is_array()) {
    for (const Json& item : value) text += (text.empty() ? "" : ",") + formatted(item);
    return "[" + text + "]";
  }
  if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      text += (text.empty() ? "" : ",") + key + ":" + formatted(item);
    }
    return "{" + text + "}";
  }
  return value.dump();
}

Json random_value(std::mt19937& random, int depth) {
  static const std::vector<std::string> kStrings = {
      "",   "a b", " x ", "{[]}", "a,b:c", "}",  "]",    "\"", "\\", "\n", "true",
      "12", "é",   "世",  "null", "call:", "<|", "\"|>", "{",  "[",  ","};
  static const std::vector<std::string> kKeys = {"a", "b c", "key", "é", "1", "x.y", "\"q\"", "-"};
  switch (random() % (depth > 4 ? 6 : 8)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<int64_t>(random()) - (int64_t{1} << 31);
    case 3:
      return (static_cast<double>(random()) - 2e9) * (random() % 2 == 0 ? 1e-9 : 1e20);
    case 4:
      return static_cast<double>(random() % 10);
    case 5:
      return kStrings[random() % kStrings.size()];
    case 6: {
      Json array = Json::array();
      for (size_t n = random() % 4; n > 0; --n) array.push_back(random_value(random, depth + 1));
      return array;
    }
    default: {
      Json object = Json::object();
      for (size_t n = random() % 4; n > 0; --n) {
        object[kKeys[random() % kKeys.size()]] = random_value(random, depth + 1);
      }
      return object;
    }
  }
}

TEST_CASE("formatting arguments and parsing them back gives the same object") {
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    Json object = Json::object();
    for (size_t n = random() % 5; n > 0; --n) {
      object[std::string(1, static_cast<char>('a' + random() % 26))] = random_value(random, 0);
    }
    const std::string text = formatted(object).substr(1);
    CAPTURE(text);
    REQUIRE(parse_tool_arguments(text, nullptr).dump() == object.dump());
  }
}

}  // namespace
}  // namespace gemma4
