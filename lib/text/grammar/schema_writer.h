// The values that fit a JSON schema, as part of a grammar; in two spellings.
#pragma once

#include "lib/io/json.h"
#include "lib/text/grammar/grammar.h"

namespace gemma4 {

/// JSON texts; see json_schema.h for what is enforced. Throws Error(kUsage) naming the JSON pointer
/// of what is not.
GrammarNode write_json(GrammarBuilder& builder, const Json& schema);

/// The same values as Gemma writes them in tool calls (spec tokenizer-chat.md, 4.5 and 5.1):
/// strings between kStringDelimiter (lib/text/tool_arguments.h) and without escapes, keys bare and
/// in the chat template's order, no blanks.
GrammarNode write_tool_arguments(GrammarBuilder& builder, const Json& schema);

}  // namespace gemma4
