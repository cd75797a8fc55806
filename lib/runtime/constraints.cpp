#include "lib/runtime/constraints.h"

#include "lib/base/error.h"
#include "lib/text/grammar/gbnf_parser.h"
#include "lib/text/grammar/json_schema.h"
#include "lib/text/grammar/regex_parser.h"
#include "lib/text/grammar/tool_call_grammar.h"

namespace gemma4 {
namespace {

Grammar grammar_of(const OutputFormat& format) {
  switch (format.kind) {
    case OutputFormat::Kind::kJsonSchema:
      return json_schema_grammar(format.schema);
    case OutputFormat::Kind::kRegex:
      return regex_grammar(format.text);
    case OutputFormat::Kind::kGrammar:
      return gbnf_grammar(format.text);
    case OutputFormat::Kind::kJsonObject:
    case OutputFormat::Kind::kFree:
      break;
  }
  return json_object_grammar();
}

}  // namespace

std::shared_ptr<TokenConstraint> ConstraintMaker::make(const OutputFormat& format) {
  if (format.kind == OutputFormat::Kind::kFree) return nullptr;
  if (last_masks_ == nullptr || !(last_ == format)) {
    auto grammar = std::make_shared<const Grammar>(grammar_of(format));
    if (trie_ == nullptr) trie_ = std::make_shared<const TokenTrie>(tokenizer_);
    last_masks_ = std::make_shared<GrammarMasks>(trie_, std::move(grammar));
    last_ = format;
  }
  return std::make_shared<TokenConstraint>(last_masks_, stop_ids_);
}

ToolChoice tool_choice_from(const std::string& text) {
  using Kind = ToolChoice::Kind;
  if (text.empty() || text == "auto") return {};
  if (text == "none") return {Kind::kNone, {}};
  if (text == "required") return {Kind::kRequired, {}};
  return {Kind::kNamed, text};
}

std::shared_ptr<ToolCallRules> ConstraintMaker::make_tool_calls(const Json& tools,
                                                                const ToolChoice& choice) {
  using Kind = ToolChoice::Kind;
  if (choice.kind == Kind::kNone) return nullptr;
  if (tools.empty()) {
    if (!choice.forces_call()) return nullptr;
    throw Error(ErrorKind::kUsage, "no tools are declared to choose from", choice.name);
  }
  const std::string key = tools.dump() + static_cast<char>(choice.kind) + choice.name;
  if (last_rules_ == nullptr || last_tools_ != key) {
    auto grammar = std::make_shared<const Grammar>(tool_call_grammar(tools, choice.name));
    last_rules_ =
        std::make_shared<ToolCallRules>(std::move(grammar), choice.forces_call(),
                                        choice.kind == Kind::kNamed, stop_ids_, tokenizer_);
    last_tools_ = key;
  }
  return last_rules_;
}

}  // namespace gemma4
