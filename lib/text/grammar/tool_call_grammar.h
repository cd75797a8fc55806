// The tool calls that a set of declared tools allows, as a grammar.
//
// A call is "call:" NAME "{" arguments "}" and the end of the call (spec tokenizer-chat.md, 5.1 and
// 8.3); the arguments fit the tool's parameters. Control tokens stand in the grammar as bytes that
// UTF-8 never uses.
#pragma once

#include <string_view>

#include "lib/io/json.h"
#include "lib/text/grammar/grammar.h"
#include "lib/text/grammar/token_trie.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Stands for the token <tool_call|>; kStringDelimiter (lib/text/tool_arguments.h) for <|"|>.
inline constexpr char kToolCallEnd = '\xFE';

/// What may follow <|tool_call>, up to and with <tool_call|>. `tools`: declarations, {"type":
/// "function", "function": {...}} or just the inner object. `only`: the one tool that may be
/// called; empty: any. Throws Error(kUsage) for a tool that is not declared, a name or property
/// that a call cannot spell, and parameters that cannot be enforced exactly.
Grammar tool_call_grammar(const Json& tools, std::string_view only = {});

/// The vocabulary with bytes for those two control tokens. Error(kModel) for a tokenizer without
/// them.
TokenTrie tool_call_trie(const Tokenizer& tokenizer);

}  // namespace gemma4
