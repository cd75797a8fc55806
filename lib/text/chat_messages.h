// Conversations as chat templates want them: checked, and with what OpenAI-style clients send as
// JSON text turned into values.
#pragma once

#include "lib/io/json.h"

namespace gemma4 {

/// Checks the shape of messages (roles, contents, parts, calls) and prepares them:
///  - tool-call arguments given as JSON text are parsed; anything but an object or null is refused;
///  - tool results that are objects move to `tool_responses` of the message with the calls, the
///    form in which Gemma's templates accept them (they fail on an object as message content).
/// Throws Error(kInput) that names the place, as a JSON pointer.
Json prepare_messages(const Json& messages);

/// Checks that tools are null or a list of {"function": {"name": ...}}. Throws Error(kInput).
void check_tools(const Json& tools);

}  // namespace gemma4
