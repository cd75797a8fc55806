// GBNF, the grammar notation of llama.cpp (its grammars/README.md).
//
// Rules `name ::= ...`, the first character to the last of the answer is what `root` stands for.
// Taken: "literals", [classes] and [^classes], . (any character), ( ), |, * + ? {m} {m,} {m,n},
// # comments, escapes \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH (code points). Refused: rules
// that begin with themselves, token names (<...>), undefined or repeated rules.
#pragma once

#include <string_view>

#include "lib/text/grammar/grammar.h"

namespace gemma4 {

/// Throws Error(kUsage) with the line of what is wrong.
Grammar gbnf_grammar(std::string_view text);

}  // namespace gemma4
