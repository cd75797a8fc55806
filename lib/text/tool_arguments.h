// Arguments of a tool call, from Gemma's call syntax to JSON.
//
// Grammar, damaged input and typing: spec tokenizer-chat.md, 5.1 and 5.3.
#pragma once

#include <string_view>

#include "lib/io/json.h"

namespace gemma4 {

/// Stands for the token <|"|> in a call's text. UTF-8 never uses this byte, so the spelling of the
/// token in ordinary text cannot be taken for it.
inline constexpr char kStringDelimiter = '\xFF';

/// `text`: what follows the call's opening brace, as far as the model came: valid UTF-8 besides
/// kStringDelimiter. `parameters`: the tool's JSON schema, or null. Always gives an object: what
/// is damaged is left out or kept as text, as the spec says.
Json parse_tool_arguments(std::string_view text, const Json* parameters);

}  // namespace gemma4
