// Any sequence of token ids as model output: the first byte gives the options, each two bytes
// after it an id. Events must be valid UTF-8 and add up to the complete result.
#include <cstdint>
#include <string>

#include "lib/base/utf8.h"
#include "lib/text/blanks.h"
#include "lib/text/output_parser.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tiny_tokenizer.h"

namespace {

using namespace gemma4;

const Tokenizer& tokenizer() {
  static const std::unique_ptr<Tokenizer> tiny = [] {
    const ScratchDir scratch;
    write_tiny_tokenizer(scratch.path());
    return Tokenizer::load(scratch.path(), false);
  }();
  return *tiny;
}

const Json& tools() {
  static const Json declared = Json::parse(R"([{"function": {"name": "f", "parameters":
      {"properties": {"a": {"type": ["integer", "null"]}, "b": {"type": "array", "items":
      {"type": "string"}}, "c": {"type": "boolean"}, "d": {"type": "object"}}}}}])");
  return declared;
}

void require(bool fact) {
  if (!fact) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const OutputParserOptions options = {.thinking = (data[0] & 1) != 0,
                                       .in_reasoning = (data[0] & 2) != 0,
                                       .tools = (data[0] & 4) != 0 ? tools() : Json::array()};
  OutputParser parser(tokenizer(), options);
  std::string reasoning, content;
  size_t calls = 0;
  const auto add = [&](const std::vector<OutputEvent>& events) {
    for (const OutputEvent& event : events) {
      require(is_valid_utf8(event.text));
      if (event.kind == OutputEvent::Kind::kReasoning) reasoning += event.text;
      if (event.kind == OutputEvent::Kind::kContent) content += event.text;
      if (event.kind == OutputEvent::Kind::kToolCall) {
        ++calls;
        event.call.arguments.dump();  // throws on invalid UTF-8
      }
    }
  };
  const TokenId close = tokenizer().control_id("<channel|>").value();
  const TokenId open = tokenizer().control_id("<|channel>").value();
  const TokenId call = tokenizer().control_id("<|tool_call>").value();
  bool opened = options.in_reasoning, lost_opener = false;
  for (size_t at = 1; at + 1 < size; at += 2) {
    const auto id = static_cast<TokenId>((data[at] | data[at + 1] << 8) % tokenizer().vocab_size());
    opened = opened || id == open || id == call;
    lost_opener = lost_opener || (id == close && !opened);
    add(parser.push(id));
  }
  add(parser.finish());
  const ParsedOutput result = parser.result();
  require(is_valid_utf8(result.reasoning) && is_valid_utf8(result.content));
  require(calls == result.tool_calls.size());
  if (!lost_opener) {
    require(reasoning == result.reasoning);
    require((calls == 0 ? content : std::string(trim(content))) == result.content);
  }
  return 0;
}
