// What languages are called in a prompt.
#pragma once

#include <string>
#include <string_view>

namespace gemma4 {

/// The English name for a tag ("de" -> "German", "pt-BR" -> "Portuguese (pt-BR)"); a language that
/// has no entry, or is given by name, stays as it is. Throws Error(kUsage), naming `flag`, for text
/// that cannot be a language.
std::string language_name(std::string_view text, std::string_view flag);

}  // namespace gemma4
