// Template source -> Program.
#pragma once

#include <string_view>

#include "lib/text/jinja/ast.h"
#include "lib/text/jinja/budget.h"

namespace gemma4::jinja {

/// Throws SyntaxFailure, which names what is not valid or not supported.
Program parse(std::string_view source, const Limits& limits);

}  // namespace gemma4::jinja
