#include "lib/text/grammar/tool_call_grammar.h"

#include <string>
#include <vector>

#include "lib/base/error.h"
#include "lib/text/grammar/schema_writer.h"
#include "lib/text/tool_arguments.h"

namespace gemma4 {
namespace {

constexpr char kMarkers[] = {kStringDelimiter, kToolCallEnd};

const Json& function_of(const Json& tool) {
  return tool.contains("function") ? tool.at("function") : tool;
}

// Arguments are an object, whatever else the parameters say.
Json arguments_schema(const Json& function) {
  const auto found = function.find("parameters");
  if (found == function.end() || found->is_null() || (found->is_object() && found->empty())) {
    return {{"type", "object"}, {"additionalProperties", false}};
  }
  if (!found->is_object()) return *found;
  Json schema = *found;
  schema["type"] = "object";
  // An object that declares nothing takes nothing: only declared arguments are ever written.
  if (!schema.contains("properties") && !schema.contains("additionalProperties")) {
    schema["additionalProperties"] = false;
  }
  return schema;
}

}  // namespace

Grammar tool_call_grammar(const Json& tools, std::string_view only) {
  GrammarBuilder builder;
  std::vector<GrammarNode> calls;
  for (const Json& tool : tools) {
    const Json& function = function_of(tool);
    const std::string name = function.at("name").get<std::string>();
    if (!only.empty() && name != only) continue;
    if (name.empty() || name.find_first_of("{} \t\r\n") != name.npos) {
      throw Error(ErrorKind::kUsage, "a tool call cannot spell this tool's name", Json(name).dump(),
                  "use letters, digits, \"_\", \"-\" and \".\"");
    }
    try {
      calls.push_back(builder.sequence(
          {builder.literal(name), write_tool_arguments(builder, arguments_schema(function))}));
    } catch (const Error& error) {
      throw Error(ErrorKind::kUsage, error.what(), "the parameters of tool " + name);
    }
  }
  if (calls.empty()) {
    throw Error(ErrorKind::kUsage, "the tool to call is not declared", only,
                "--tools FILE declares it");
  }
  const GrammarNode root =
      builder.sequence({builder.literal("call:"), builder.alternatives(std::move(calls)),
                        builder.literal(std::string(1, kToolCallEnd))});
  try {
    return std::move(builder).finish(root);
  } catch (const Error& error) {
    throw Error(ErrorKind::kUsage, error.what(), "the parameters of the tools");
  }
}

TokenTrie tool_call_trie(const Tokenizer& tokenizer) {
  const auto delimiter = tokenizer.control_id("<|\"|>");
  const auto call_end = tokenizer.control_id("<tool_call|>");
  if (!delimiter || !call_end) {
    throw Error(ErrorKind::kModel, "the tokenizer has no tool call tokens", {},
                "this checkpoint cannot call tools");
  }
  std::vector<std::string_view> bytes(static_cast<size_t>(tokenizer.vocab_size()));
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.is_control(id)) continue;
    const std::string_view text = tokenizer.token_bytes(id);
    // The byte tokens that look like a marker are no text either.
    if (text.find_first_of(std::string_view(kMarkers, 2)) != text.npos) continue;
    bytes[static_cast<size_t>(id)] = text;
  }
  bytes[static_cast<size_t>(*delimiter)] = std::string_view(&kMarkers[0], 1);
  bytes[static_cast<size_t>(*call_end)] = std::string_view(&kMarkers[1], 1);
  return TokenTrie(bytes);
}

}  // namespace gemma4
