// The chat format as plain code, for comparison with the templates: spec tokenizer-chat.md,
// sections 4.3 to 4.6, written without looking at how the templates do it.
#pragma once

#include <string>

#include "lib/io/json.h"

namespace gemma4 {

struct FormatOptions {
  bool large = false;  // the template of 12B, 26B-A4B and 31B
  bool add_generation_prompt = true;
  bool enable_thinking = false;
  bool preserve_thinking = false;
};

/// Messages as ChatTemplate prepares them: arguments are objects or null.
std::string format_chat(const Json& messages, const Json& tools, const FormatOptions& options);

}  // namespace gemma4
