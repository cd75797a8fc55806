// The operators + - * / // % ** of the template language, as in Python.
#pragma once

#include <string_view>

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

/// Throws Failure for operands that the operator does not take, division by zero and overflow.
Value arithmetic(std::string_view op, const Value& left, const Value& right, Budget& budget);
Value negate(const Value& value);

}  // namespace gemma4::jinja
