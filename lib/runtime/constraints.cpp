#include "lib/runtime/constraints.h"

#include "lib/text/grammar/gbnf_parser.h"
#include "lib/text/grammar/json_schema.h"
#include "lib/text/grammar/regex_parser.h"

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

}  // namespace gemma4
