// Regular expressions: the part of ECMA-262 that is regular, as automata.
//
// Taken: literals, . [classes] \d \D \w \W \s \S, escapes \t \n \r \v \f \0 \xHH \uHHHH \u{H..}
// and of punctuation, ( ) (?: ) (?<name> ), |, * + ? {n} {n,} {n,m} (lazy forms too: they accept
// the same texts), ^ and $ for the ends of the text. \d and \w are ASCII, \s the blanks of
// ECMA-262, . is any character but a line terminator (\n, \r, U+2028, U+2029).
// Refused, Error(kUsage) that says where: back references, look-around, \b \B, \p, \c, inline
// flags, possessive quantifiers, lone surrogates, unescaped braces that are no quantifier.
#pragma once

#include <string_view>

#include "lib/text/grammar/dfa.h"
#include "lib/text/grammar/grammar.h"

namespace gemma4 {

enum class RegexMatch {
  kWhole,   // the expression describes the whole text
  kSearch,  // somewhere in the text, as JSON Schema's "pattern" means it
};

/// The valid UTF-8 texts that `expression` matches. Throws Error(kUsage) on a bad or refused
/// expression and past the limits of limits.h.
Dfa parse_regex(std::string_view expression, RegexMatch match);

/// The whole answer is a text that `expression` matches from end to end.
Grammar regex_grammar(std::string_view expression);

}  // namespace gemma4
