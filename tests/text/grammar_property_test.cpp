// Answers drawn from the masks alone are valid: checked by python3-jsonschema.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "lib/base/error.h"
#include "lib/text/grammar/json_schema.h"
#include "lib/text/grammar/tool_call_grammar.h"
#include "lib/text/tokenizer.h"
#include "lib/text/tool_arguments.h"
#include "tests/support/golden_files.h"
#include "tests/text/grammar_tools.h"

namespace gemma4 {
namespace {

// Schemas made up at random from the keywords of json_schema.h.
class SchemaGenerator {
 public:
  explicit SchemaGenerator(uint32_t seed) : random_(seed) {}

  Json make() {
    Json schema = value(0);
    schema["$defs"] = Json::object({{"shared", plain(2)}});
    return schema;
  }

 private:
  bool chance(uint32_t in) { return random_() % in == 0; }
  int number(int low, int high) {
    return low + static_cast<int>(random_() % static_cast<uint32_t>(high - low + 1));
  }

  Json value(int depth) {
    if (depth > 0 && chance(9)) return Json::object({{"$ref", chance(2) ? "#/$defs/shared" : "#"}});
    if (depth < 3 && chance(7)) return choice(depth);
    if (depth < 3 && chance(9)) {
      return Json::object({{"allOf", Json::array({object(depth + 1), object(depth + 1)})}});
    }
    return plain(depth);
  }

  Json choice(int depth) {
    if (chance(2)) {
      Json any = Json::array();
      for (int i = number(1, 3); i > 0; --i) any.push_back(plain(depth + 1));
      return Json::object({{"anyOf", any}});
    }
    Json one = Json::array();
    for (int i = number(2, 3); i > 0; --i) {
      Json branch = object(depth + 1);
      branch["properties"]["kind"] = Json::object({{"const", "kind" + std::to_string(i)}});
      branch["required"] = Json::array({"kind"});
      one.push_back(branch);
    }
    return Json::object({{"oneOf", one}});
  }

  Json plain(int depth) {
    switch (depth >= 4 ? number(0, 3) : number(0, 6)) {
      case 0:
        return numbers("integer");
      case 1:
        return numbers("number");
      case 2:
        return text();
      case 3:
        return constants();
      case 4:
        return array(depth + 1);
      default:
        return object(depth + 1);
    }
  }

  Json numbers(const char* type) {
    Json schema = Json::object({{"type", type}});
    const bool whole = type[0] == 'i';
    const auto bound = [&](int low, int high) {
      const int value = number(low, high);
      return whole || chance(2) ? Json(value) : Json(value + number(0, 99) / 100.0);
    };
    if (chance(2)) schema[chance(2) ? "minimum" : "exclusiveMinimum"] = bound(-1200, 40);
    if (chance(2)) schema[chance(2) ? "maximum" : "exclusiveMaximum"] = bound(45, 3000);
    if (whole && chance(4)) schema["multipleOf"] = number(1, 12);
    return schema;
  }

  Json text() {
    Json schema = Json::object({{"type", "string"}});
    const char* const kPatterns[] = {"^[a-z]{2,5}$", "^\\d{4}-\\d{2}$",
                                     "ab+c",         "^(yes|no)$",
                                     "^[^\"]*$",     "^x",
                                     "y$",           "^\\w+( \\w+)*$",
                                     "[\\s\\S]",     "^#[0-9a-fA-F]{6}$",
                                     "^\\S.*\\S$",   "^[é-ü😀]+$"};
    const char* const kFormats[] = {"date",  "time",          "date-time",   "duration",
                                    "email", "ipv4",          "ipv6",        "uuid",
                                    "uri",   "uri-reference", "json-pointer"};
    switch (number(0, 4)) {
      case 0:
        schema["pattern"] = kPatterns[number(0, std::size(kPatterns) - 1)];
        if (chance(3)) schema["maxLength"] = number(7, 20);
        break;
      case 1:
        schema["format"] = kFormats[number(0, std::size(kFormats) - 1)];
        break;
      case 2:
        schema["minLength"] = number(0, 5);
        if (chance(2)) schema["maxLength"] = number(5, 60);
        break;
      case 3:
        schema["maxLength"] = number(0, 12);
        break;
      default:
        break;
    }
    return schema;
  }

  Json constants() {
    switch (number(0, 3)) {
      case 0:
        return Json::object({{"type", Json::array({"null", "boolean"})}});
      case 1:
        return Json::object({{"const", Json::parse(R"({"a": [1, null], "b": "c\"d"})")}});
      default: {
        Json values = Json::array({"red", "re", "green\n", 1, 12, -2.5, nullptr, true});
        values.erase(values.begin() + number(0, 7));
        Json schema = Json::object({{"enum", values}});
        if (chance(4)) schema["type"] = "string";
        return schema;
      }
    }
  }

  Json array(int depth) {
    Json schema = Json::object({{"type", "array"}});
    const bool prefix = chance(3);
    if (prefix) {
      schema["prefixItems"] = Json::array();
      for (int i = number(1, 3); i > 0; --i) schema["prefixItems"].push_back(value(depth));
    }
    if (!prefix || chance(2)) schema["items"] = chance(12) ? Json(true) : value(depth);
    if (chance(3)) schema["minItems"] = number(0, 3);
    if (chance(2)) schema["maxItems"] = number(3, 6);
    return schema;
  }

  Json object(int depth) {
    const char* const kNames[] = {"a", "ab", "abc", "b", "name", "items", "x-1", "x-\"q", "é"};
    Json schema = Json::object({{"type", "object"}, {"properties", Json::object()}});
    Json required = Json::array();
    for (const char* name : kNames) {
      if (!chance(3)) continue;
      schema["properties"][name] = value(depth);
      if (chance(2)) required.push_back(name);
    }
    if (!required.empty()) schema["required"] = required;
    if (chance(4)) schema["additionalProperties"] = chance(3) ? Json(true) : value(depth);
    if (chance(8)) schema["patternProperties"] = Json::object({{"^x-", value(depth)}});
    if (chance(8)) schema["propertyNames"] = Json::object({{"maxLength", number(2, 5)}});
    if (chance(8)) schema["minProperties"] = number(0, 2);
    if (chance(8)) schema["maxProperties"] = number(2, 5);
    // jsonschema 4.10 (Debian 12) forgets that these two evaluate a key: only without them.
    const bool others =
        schema.contains("additionalProperties") || schema.contains("patternProperties");
    if (!others && chance(8)) schema["unevaluatedProperties"] = value(depth);
    if (chance(10)) schema["dependentRequired"] = Json::object({{"a", Json::array({"b"})}});
    return schema;
  }

  std::mt19937 random_;
};

// Changes one place of a document. Most of what comes out is not valid any more.
void mutate(Json& value, std::mt19937& random) {
  if (value.is_structured() && !value.empty() && random() % 4 != 0) {
    auto it = value.begin();
    std::advance(it, static_cast<ptrdiff_t>(random() % value.size()));
    if (random() % 5 == 0) {
      value.erase(it);
    } else {
      mutate(*it, random);
    }
    return;
  }
  switch (random() % 7) {
    case 0:
      value = nullptr;
      return;
    case 1:
      value = static_cast<int>(random() % 4000) - 2000;
      return;
    case 2:
      value = static_cast<int>(random() % 4000) / 16.0 - 100;
      return;
    case 3:
      value = value.is_string() ? value.get<std::string>() + "z" : std::string("z");
      return;
    case 4:
      value = Json::array({value, value});
      return;
    case 5:
      if (value.is_array() && !value.empty()) {
        value.push_back(value.front());
      } else if (value.is_object()) {
        value["b"] = value;
      } else {
        value = Json::object({{"a", value}});
      }
      return;
    default:
      value = std::string(random() % 9, 'b');
      return;
  }
}

struct Counts {
  int schemas = 0, refused = 0, drawn = 0, unfinished = 0, mutated_accepted = 0,
      mutated_refused = 0;
};

// Draws answers for one schema and notes them, and those changed answers that the grammar takes.
void draw_answers(const Json& schema, const std::shared_ptr<const TokenTrie>& trie, TokenId stop,
                  int count, uint32_t free_tokens, std::mt19937& random, std::ostream& out,
                  Counts& counts) {
  std::shared_ptr<GrammarMasks> masks;
  try {
    masks = masks_of(json_schema_grammar(schema), trie);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kUsage);
    ++counts.refused;
    return;
  }
  ++counts.schemas;
  const auto note = [&](const std::string& text) {
    out << Json::object({{"schema", schema}, {"text", text}}).dump() << '\n';
  };
  for (int i = 0; i < count; ++i) {
    CAPTURE(schema.dump());
    const auto text = draw(masks, random, static_cast<int>(random() % free_tokens), 6000, stop);
    if (!text) {  // references that multiply, where drawing at random need not come to an end
      ++counts.unfinished;
      continue;
    }
    note(*text);
    ++counts.drawn;
    const Json value = Json::parse(*text);
    for (int k = 0; k < 4; ++k) {
      Json changed = value;
      mutate(changed, random);
      const std::string changed_text = changed.dump();
      if (fits(masks->grammar(), changed_text)) {
        note(changed_text);
        ++counts.mutated_accepted;
      } else {
        ++counts.mutated_refused;
      }
    }
  }
}

// False, with a message, when python3-jsonschema is not there.
bool validate(const std::filesystem::path& answers, int expected) {
  const std::string command = "python3 '" +
                              (source_dir() / "tests/text/validate_json_schema.py").string() +
                              "' < '" + answers.string() + "' 2>&1";
  FILE* pipe = popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string output;
  char buffer[4096];
  for (size_t n; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) output.append(buffer, n);
  const int status = pclose(pipe);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127) {
    MESSAGE("SKIPPED: needs python3-jsonschema: " << output);
    return false;
  }
  CAPTURE(output.substr(0, 4000));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(output.find("checked " + std::to_string(expected) + "\n") != std::string::npos);
  return true;
}

class AnswerFile {
 public:
  explicit AnswerFile(const std::string& name)
      : path_(std::filesystem::temp_directory_path() / (name + std::to_string(getpid()))),
        stream_(path_) {}
  ~AnswerFile() { std::filesystem::remove(path_); }
  std::ostream& stream() { return stream_; }
  const std::filesystem::path& done() {
    stream_.close();
    return path_;
  }

 private:
  std::filesystem::path path_;
  std::ofstream stream_;
};

TEST_CASE("answers drawn at random from the masks are valid for their schemas") {
  AnswerFile answers("gemma4-answers-");
  Counts counts;
  std::mt19937 random(7);
  for (const Json& one :
       read_json_file(source_dir() / "tests/text/grammar/schemas.json", ErrorKind::kInput)) {
    if (one.contains("refused")) continue;
    draw_answers(one["schema"], test_trie(), kTestStop, 5, 120, random, answers.stream(), counts);
  }
  CHECK(counts.refused == 0);
  CHECK(counts.unfinished == 0);
  for (uint32_t seed = 0; seed < 600; ++seed) {
    draw_answers(SchemaGenerator(seed).make(), test_trie(), kTestStop, 3, 120, random,
                 answers.stream(), counts);
  }
  MESSAGE(counts.schemas << " schemas (" << counts.refused << " refused), " << counts.drawn
                         << " answers drawn, " << counts.unfinished << " given up, "
                         << counts.mutated_accepted << " changed answers taken, "
                         << counts.mutated_refused << " refused");
  CHECK(counts.schemas > 500);
  CHECK(counts.unfinished * 100 <= counts.drawn);
  CHECK(counts.mutated_refused > 1000);
  validate(answers.done(), counts.drawn + counts.mutated_accepted);
}

TEST_CASE("answers drawn over Gemma's vocabulary are valid for their schemas") {
  const auto file = shared_path("data/tokenizer/tokenizer.json");
  if (file.empty()) return;
  const auto tokenizer = Tokenizer::load(file.parent_path());
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  AnswerFile answers("gemma4-answers-vocabulary-");
  Counts counts;
  std::mt19937 random(8);
  int index = 0;
  for (const Json& one :
       read_json_file(source_dir() / "tests/text/grammar/schemas.json", ErrorKind::kInput)) {
    if (one.contains("refused") || ++index % 8 != 0) continue;
    draw_answers(one["schema"], trie, 106, 2, 25, random, answers.stream(), counts);
  }
  MESSAGE(counts.schemas << " schemas, " << counts.drawn << " answers drawn");
  validate(answers.done(), counts.drawn + counts.mutated_accepted);
}

TEST_CASE("tool calls drawn at random from the masks have arguments that are valid") {
  AnswerFile answers("gemma4-tool-calls-");
  int tools = 0, refused = 0, drawn = 0, unfinished = 0;
  std::mt19937 random(9);
  for (uint32_t seed = 0; seed < 700; ++seed) {
    Json schema = SchemaGenerator(seed).make();
    schema["type"] = "object";
    CAPTURE(schema.dump());
    const Json declared = Json::array(
        {{{"type", "function"}, {"function", {{"name", "some.tool"}, {"parameters", schema}}}}});
    std::shared_ptr<GrammarMasks> masks;
    try {
      masks = masks_of(tool_call_grammar(declared));
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kUsage);
      ++refused;
      continue;
    }
    ++tools;
    for (int i = 0; i < 3; ++i) {
      const auto call =
          draw(masks, random, static_cast<int>(random() % 120), 6000, kTestStop, kStringDelimiter);
      if (!call) {
        ++unfinished;
        continue;
      }
      REQUIRE(call->starts_with("call:some.tool{"));
      REQUIRE(call->back() == kToolCallEnd);
      const std::string_view text = std::string_view(*call).substr(15, call->size() - 16);
      answers.stream()
          << Json{{"schema", schema}, {"text", parse_tool_arguments(text, &schema).dump()}}.dump()
          << '\n';
      ++drawn;
    }
  }
  MESSAGE(tools << " tools (" << refused << " refused), " << drawn << " calls drawn, " << unfinished
                << " given up");
  CHECK(tools > 300);
  CHECK(unfinished * 100 <= drawn);
  validate(answers.done(), drawn);
}

}  // namespace
}  // namespace gemma4
