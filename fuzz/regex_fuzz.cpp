// Any bytes taken as an expression and a text, apart at the first zero byte: compiled, or refused
// with an Error. A text that matches as a whole is also found, and its JSON form fits.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/io/json.h"
#include "lib/text/grammar/regex_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gemma4;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view expression = input.substr(0, input.find('\0'));
  const std::string_view text =
      expression.size() < size ? input.substr(expression.size() + 1) : std::string_view();
  try {
    const Dfa whole = parse_regex(expression, RegexMatch::kWhole);
    const bool matches = whole.matches(text);
    if (matches && !is_valid_utf8(text)) __builtin_trap();
    if (is_valid_utf8(text) && json_string_of(whole).matches(Json(text).dump()) != matches) {
      __builtin_trap();
    }
    const Dfa found = parse_regex(expression, RegexMatch::kSearch);
    if (matches && !found.matches(text)) __builtin_trap();
    if (!difference(whole, found).empty()) __builtin_trap();
    if (!whole.empty() && length_range(whole).least > length_range(whole).most) __builtin_trap();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage) __builtin_trap();
  }
  return 0;
}
