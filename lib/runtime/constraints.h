// Grammars that answers must follow, from what the user gave.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lib/io/json.h"
#include "lib/runtime/answer_constraint.h"
#include "lib/text/grammar/token_mask.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// One kind of structured output.
struct OutputFormat {
  enum class Kind { kFree, kJsonSchema, kJsonObject, kRegex, kGrammar };
  Kind kind = Kind::kFree;
  Json schema;       // kJsonSchema
  std::string text;  // kRegex: the expression; kGrammar: GBNF

  bool operator==(const OutputFormat&) const = default;
};

/// Whether and which tools an answer calls: --tool-choice.
struct ToolChoice {
  enum class Kind { kAuto, kNone, kRequired, kNamed };
  Kind kind = Kind::kAuto;
  std::string name;  // kNamed

  bool forces_call() const { return kind == Kind::kRequired || kind == Kind::kNamed; }
};

/// "" and "auto", "none", "required", or a tool's name.
ToolChoice tool_choice_from(const std::string& text);

/// Makes constraints for answers of one model. The vocabulary is prepared once.
class ConstraintMaker {
 public:
  /// `stop_ids` end an answer where its grammar may end. The tokenizer must outlive the maker.
  ConstraintMaker(const Tokenizer& tokenizer, std::vector<TokenId> stop_ids)
      : tokenizer_(tokenizer), stop_ids_(std::move(stop_ids)) {}

  /// A constraint for one answer; null for kFree. Throws Error(kUsage) naming what of the format
  /// cannot be enforced.
  std::shared_ptr<TokenConstraint> make(const OutputFormat& format);

  /// What calls of `tools` (declarations) must look like; null for no tools and for kNone. Throws
  /// Error(kUsage) for a name that is not declared and for parameters that cannot be enforced.
  std::shared_ptr<ToolCallRules> make_tool_calls(const Json& tools, const ToolChoice& choice);

 private:
  const Tokenizer& tokenizer_;
  std::vector<TokenId> stop_ids_;
  std::shared_ptr<const TokenTrie> trie_;
  OutputFormat last_;  // requests of a batch mostly have the same
  std::shared_ptr<GrammarMasks> last_masks_;
  std::string last_tools_;
  std::shared_ptr<ToolCallRules> last_rules_;
};

}  // namespace gemma4
