#include "lib/text/output_parser.h"

#include <doctest/doctest.h>

#include <random>

#include "lib/base/utf8.h"
#include "lib/io/json.h"
#include "lib/text/blanks.h"
#include "tests/support/golden_files.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

using Kind = OutputEvent::Kind;

const Tokenizer& tiny() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    const ScratchDir scratch;
    write_tiny_tokenizer(scratch.path());
    return Tokenizer::load(scratch.path(), false);
  }();
  return *tokenizer;
}

// The events' sum and the complete result of one output.
struct Parsed {
  ParsedOutput streamed;
  ParsedOutput complete;
  int64_t reasoning_tokens;
};

Parsed parse(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
             const OutputParserOptions& options = {}) {
  OutputParser parser(tokenizer, options);
  Parsed parsed;
  const auto add = [&](const std::vector<OutputEvent>& events) {
    for (const OutputEvent& event : events) {
      CHECK(is_valid_utf8(event.text));
      if (event.kind == Kind::kReasoning) parsed.streamed.reasoning += event.text;
      if (event.kind == Kind::kContent) parsed.streamed.content += event.text;
      if (event.kind == Kind::kToolCall) parsed.streamed.tool_calls.push_back(event.call);
      if (event.kind != Kind::kToolCall) CHECK(!event.text.empty());
    }
  };
  for (const TokenId id : ids) add(parser.push(id));
  add(parser.finish());
  CHECK(parser.finish().empty());
  parsed.complete = parser.result();
  parsed.reasoning_tokens = parser.reasoning_tokens();
  return parsed;
}

Parsed parse(std::string_view raw, const OutputParserOptions& options = {}) {
  return parse(tiny(), tiny().encode(raw, true), options);
}

// Streaming cannot take back blanks in front of text that a call follows.
std::string comparable(const ParsedOutput& output) {
  return std::string(output.tool_calls.empty() ? output.content : trim(output.content));
}

void check_same(const ParsedOutput& streamed, const ParsedOutput& complete) {
  CHECK(streamed.reasoning == complete.reasoning);
  CHECK(comparable(streamed) == complete.content);
  REQUIRE(streamed.tool_calls.size() == complete.tool_calls.size());
  for (size_t i = 0; i < complete.tool_calls.size(); ++i) {
    CHECK(streamed.tool_calls[i].name == complete.tool_calls[i].name);
    CHECK(streamed.tool_calls[i].arguments == complete.tool_calls[i].arguments);
  }
}

void check_expected(const ParsedOutput& actual, const Json& expected) {
  CHECK(actual.has_reasoning == !expected["reasoning"].is_null());
  if (actual.has_reasoning) CHECK(actual.reasoning == expected["reasoning"].get<std::string>());
  CHECK(actual.has_content == !expected["content"].is_null());
  if (actual.has_content) CHECK(actual.content == expected["content"].get<std::string>());
  REQUIRE(actual.tool_calls.size() == expected["tool_calls"].size());
  for (size_t i = 0; i < actual.tool_calls.size(); ++i) {
    CHECK(actual.tool_calls[i].name == expected["tool_calls"][i]["name"].get<std::string>());
    // Types count: 1 is not 1.0.
    CHECK(actual.tool_calls[i].arguments.dump() == expected["tool_calls"][i]["arguments"].dump());
  }
}

void check_recorded_cases(const Tokenizer& tokenizer) {
  int compared = 0;
  const Json file = read_json_file(vector_path("chat/tool_parse_cases.json"), ErrorKind::kInput);
  for (const Json& test : file["cases"]) {
    CAPTURE(test["id"]);
    OutputParserOptions options;
    options.in_reasoning = test.value("prompt_ends_in_open_channel", false);
    if (test.contains("tools")) options.tools = test["tools"];
    for (const bool thinking : {false, true}) {
      options.thinking = thinking;
      const auto ids = tokenizer.encode(test["raw"].get<std::string>(), true);
      const Parsed parsed = parse(tokenizer, ids, options);
      check_expected(parsed.complete, test["expected"]);
      if (!test.contains("streaming_exempt")) check_same(parsed.streamed, parsed.complete);
    }
    ++compared;
  }
  CHECK(compared == 65);
}

TEST_CASE("every recorded output is parsed as recorded, streaming and complete") {
  check_recorded_cases(tiny());
}

TEST_CASE("every recorded output is parsed as recorded with the official vocabulary") {
  const auto path = shared_path("data/tokenizer/tokenizer.json");
  if (path.empty()) return;
  check_recorded_cases(*Tokenizer::load(path.parent_path(), false));
}

TEST_CASE("markers spelled with ordinary tokens are text") {
  const std::string text = "<|channel>thought\n<|tool_call>call:f{}<tool_call|>";
  const Parsed parsed = parse(tiny(), tiny().encode(text, false));
  CHECK(parsed.complete.content == text);
  CHECK(parsed.streamed.content == text);
  const auto call = tiny().encode("<|tool_call>call:f{a:", true);
  std::vector<TokenId> ids = call;
  for (const TokenId id : tiny().encode("<|\"|>x<|\"|>", false)) ids.push_back(id);
  for (const TokenId id : tiny().encode("}<tool_call|>", true)) ids.push_back(id);
  CHECK(parse(tiny(), ids).complete.tool_calls.at(0).arguments == Json({{"a", "<|\"|>x<|\"|>"}}));
}

TEST_CASE("a bare label at the start opens a channel when thinking, else it is dropped") {
  OutputParserOptions thinking;
  thinking.thinking = true;
  CHECK(parse("thought\nplan<channel|>done", thinking).streamed.reasoning == "plan");
  CHECK(parse("thought\nplan<channel|>done", thinking).streamed.content == "done");
  CHECK(parse("thought\nplan", thinking).complete.reasoning == "plan");
  CHECK(parse("thought\nplan").streamed.content == "plan");
  CHECK(parse("thought\nplan").complete.content == "plan");
  CHECK_FALSE(parse("thought\nplan").complete.has_reasoning);
  for (const char* text : {"thought", "though", "thoughts\n", " thought\nx", "x thought\n"}) {
    CHECK(parse(text, thinking).streamed.content == text);
    CHECK(parse(text).complete.content == text);
  }
  CHECK(parse("<|channel>a<channel|>thought\nb").streamed.content == "thought\nb");
}

TEST_CASE("the label is held back only as long as it may be one") {
  OutputParser parser(tiny(), {});
  std::string shown;
  for (const TokenId id : tiny().encode("th", false)) {
    for (const auto& event : parser.push(id)) shown += event.text;
  }
  CHECK(shown.empty());
  for (const auto& event : parser.push(tiny().encode("e", false)[0])) shown += event.text;
  CHECK(shown == "the");
}

TEST_CASE("blanks at the end wait for more text and vanish before the end of a channel") {
  OutputParser parser(tiny(), {});
  const auto push = [&](std::string_view text) {
    std::string shown;
    for (const TokenId id : tiny().encode(text, true)) {
      for (const auto& event : parser.push(id)) shown += event.text;
    }
    return shown;
  };
  CHECK(push("<|channel>x \n") == "x");
  CHECK(push("y  ") == " \ny");
  CHECK(push("<channel|>") == "");
  CHECK(push("  a") == "  a");
  CHECK(push("\n") == "");
  CHECK(parser.finish().at(0).text == "\n");
}

TEST_CASE("reasoning is counted in tokens without its markers") {
  const auto inside = tiny().encode("thought\nab", false).size();
  CHECK(parse("<|channel>thought\nab<channel|>abc").reasoning_tokens ==
        static_cast<int64_t>(inside));
  OutputParserOptions thinking;
  thinking.thinking = true;
  CHECK(parse("thought\nab<channel|>abc", thinking).reasoning_tokens ==
        static_cast<int64_t>(inside));
  CHECK(parse("ab").reasoning_tokens == 0);
  OutputParser open(tiny(), {.in_reasoning = true});
  CHECK(open.in_reasoning());
  open.push(tiny().control_id("<channel|>").value());
  CHECK_FALSE(open.in_reasoning());
}

TEST_CASE("a tokenizer without chat tokens makes every text content") {
  Json document = tiny_tokenizer_json();
  for (const Json& token : document["added_tokens"]) {
    if (token["id"] >= 5) document["model"]["vocab"].erase(token["content"].get<std::string>());
  }
  Json kept = Json::array();
  for (size_t i = 0; i < 5; ++i) kept.push_back(document["added_tokens"][i]);
  document["added_tokens"] = kept;
  int next = 0;
  for (auto& [piece, id] : document["model"]["vocab"].items()) id = next++;
  const ScratchDir scratch;
  std::ofstream(scratch.path() / "tokenizer.json") << document.dump();
  const auto tokenizer = Tokenizer::load(scratch.path(), false);
  const std::string text = "<|channel>a<channel|>b";
  CHECK(parse(*tokenizer, tokenizer->encode(text, true)).complete.content == text);
}

TEST_CASE("streaming and complete results agree on any sequence of tokens") {
  std::mt19937 random(7);
  const std::vector<std::string> units = {"<|channel>",
                                          "<channel|>",
                                          "<|tool_call>",
                                          "<tool_call|>",
                                          "<|tool_response>",
                                          "<turn|>",
                                          "<|\"|>",
                                          "thought\n",
                                          "thought",
                                          "call:",
                                          "f{",
                                          "}",
                                          "a:",
                                          "1",
                                          ",",
                                          "[",
                                          "]",
                                          " ",
                                          "\n",
                                          "x",
                                          "é",
                                          "ö",
                                          "call:f{a:<|\"|>b<|\"|>}"};
  for (int round = 0; round < 20000; ++round) {
    // An opener or a call first: without one, <channel|> makes them differ by design.
    std::string raw = random() % 2 == 0 ? "<|channel>" : "<|tool_call>call:g{}<tool_call|>";
    for (size_t n = random() % 20; n > 0; --n) raw += units[random() % units.size()];
    CAPTURE(raw);
    const OutputParserOptions options = {
        .thinking = random() % 2 == 0, .in_reasoning = random() % 4 == 0, .tools = Json::array()};
    const Parsed parsed = parse(raw, options);
    check_same(parsed.streamed, parsed.complete);
  }
}

}  // namespace
}  // namespace gemma4
