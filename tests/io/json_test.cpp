#include "lib/io/json.h"

#include <doctest/doctest.h>

namespace gemma4 {
namespace {

std::string message_of(std::string_view text, const JsonLimits& limits = {}) {
  try {
    parse_json(text, "the file", ErrorKind::kInput, limits);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kInput);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("keys keep their order") {
  CHECK(parse_json(R"({"z":1,"a":[true,null,2.5]})", "x", ErrorKind::kInput).dump() ==
        R"({"z":1,"a":[true,null,2.5]})");
}

TEST_CASE("bad JSON is one line that names the file") {
  CHECK(message_of("{\"a\":}").find("not valid JSON: the file; ") == 0);
  CHECK(message_of("").find("the file") != std::string::npos);
  CHECK(message_of("[1] 2") != "");
  CHECK(message_of("\"\xFF\"").find("UTF-8") != std::string::npos);
  CHECK(message_of("{\"a\":\n1,}").find('\n') == std::string::npos);
}

TEST_CASE("deep nesting and repeated keys are limited") {
  const std::string deep = std::string(100, '[') + std::string(100, ']');
  CHECK(message_of(deep).find("deeper than 64") != std::string::npos);
  CHECK(message_of(std::string(1000000, '[')).find("deeper") != std::string::npos);
  CHECK(message_of(R"({"a":1,"a":2})") == "");
  CHECK(message_of(R"({"a":1,"b":{"c":1,"c":2}})", {.max_depth = 8, .allow_duplicate_keys = false})
            .find("\"c\" appears twice") != std::string::npos);
}

TEST_CASE("an object may have many keys, but not so many that reading it takes long") {
  std::string text = "{\"k0\":0";
  for (int i = 1; i < 16384; ++i) text += ",\"k" + std::to_string(i) + "\":" + std::to_string(i);
  CHECK(message_of(text + "}") == "");
  CHECK(message_of(text + ",\"one more\":0}").find("more than 16384 keys") != std::string::npos);
  CHECK(message_of(R"([{"a":1},{"b":{"c":1}}])", {.max_object_keys = 1}) == "");
}

TEST_CASE("a file that is missing, a directory or too large is an error") {
  CHECK_THROWS_AS(read_file("/nonexistent/file", ErrorKind::kModel), Error);
  CHECK_THROWS_AS(read_file("/", ErrorKind::kModel), Error);
  CHECK_THROWS_AS(read_file("/proc/self/exe", ErrorKind::kModel, 10), Error);
}

}  // namespace gemma4
