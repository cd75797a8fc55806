// Any bytes as a template, run on fixed data: an error or an output, within the limits.
#include <string_view>

#include "lib/text/jinja/template.h"

namespace {

const std::vector<gemma4::jinja::Variable>& variables() {
  static const std::vector<gemma4::jinja::Variable> kVariables = {
      {"messages", gemma4::Json::parse(R"([{"role": "system", "content": " be <|turn> brief "},
           {"role": "user", "content": [{"type": "text", "text": "h\u00e9"}, {"type": "image"}]},
           {"role": "assistant", "content": null, "reasoning": "r", "tool_calls": [
             {"id": "1", "function": {"name": "f", "arguments": {"a": [1, 2.5, true, null]}}}]},
           {"role": "tool", "tool_call_id": "1", "content": "ok"}])")},
      {"tools", gemma4::Json::parse(R"([{"function": {"name": "f", "description": "d",
           "parameters": {"type": "object", "properties": {"a": {"type": "array",
           "items": {"type": "string"}}}, "required": ["a"]}}}])")},
      {"x", "some text"},
      {"n", 3},
      {"bos_token", "<bos>", true},
      {"add_generation_prompt", true},
  };
  return kVariables;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const gemma4::jinja::Limits limits = {
      .steps = 200'000, .allocated_bytes = 32 << 20, .output_bytes = 1 << 20};
  try {
    gemma4::jinja::Template::compile({reinterpret_cast<const char*>(data), size}, "fuzz", limits)
        .render(variables());
  } catch (const gemma4::Error&) {
  }
  return 0;
}
