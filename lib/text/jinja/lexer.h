// Template source -> tokens, with Jinja's rules for white space around tags.
//
// As Hugging Face sets the engine up: trim_blocks (the newline after a block tag or comment goes),
// lstrip_blocks (blanks before a block tag or comment on a line of its own go), and one newline at
// the end of the source goes. "{%-", "-%}" and their like strip all white space on that side; "+"
// switches the two settings off for one tag.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

/// A template that cannot be compiled.
class SyntaxFailure : public std::runtime_error {
 public:
  SyntaxFailure(const std::string& message, int line) : std::runtime_error(message), line_(line) {}
  int line() const { return line_; }

 private:
  int line_;
};

struct Token {
  enum class Kind {
    kText,        // template text between tags
    kPrintBegin,  // {{
    kPrintEnd,    // }}
    kBlockBegin,  // {%
    kBlockEnd,    // %}
    kName,
    kString,
    kInteger,
    kFloat,
    kOperator,
    kEnd,
  };
  Kind kind = Kind::kEnd;
  std::string text;  // text, name, operator, or the string's value
  Integer integer = 0;
  double real = 0;
  int line = 0;
};

/// Ends with a kEnd token. Throws SyntaxFailure.
std::vector<Token> tokenize(std::string_view source);

}  // namespace gemma4::jinja
