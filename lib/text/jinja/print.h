// Values as text: Python's str(), repr() and JSON.
//
// Characters of strings keep their origin. Everything else that these functions write (digits,
// brackets, quotes, escapes) counts as untrusted, so that no data can lend meaning to it.
#pragma once

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

/// What {{ value }} prints: strings as they are, none as None, floats as Python's repr, lists as
/// Python shows them. Throws Failure for a value that has no text.
void print(const Value& value, TextBuilder& out, Budget& budget);
/// The same as a string value; a string is returned as it is.
Text to_text(const Value& value, Budget& budget);

/// Python's repr of a float: shortest digits that read back the same.
std::string float_text(double value);
std::string integer_text(Integer value);

struct JsonStyle {
  int indent = -1;  // below 0: one line
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string item_separator;  // empty: ", " on one line, "," with an indent
  std::string key_separator = ": ";
};
/// As Python's json.dumps. Throws Failure for values that JSON does not have.
Text to_json(const Value& value, const JsonStyle& style, Budget& budget);

}  // namespace gemma4::jinja
