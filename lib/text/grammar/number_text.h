// Numbers of a range as an automaton over their decimal digits.
#pragma once

#include <compare>
#include <optional>
#include <string>

#include "lib/io/json.h"
#include "lib/text/grammar/dfa.h"

namespace gemma4 {

/// An exact decimal number: the bound of a schema as it was written, or the shortest spelling of
/// the double that it was read as.
struct Decimal {
  bool negative = false;      // false for zero
  std::string integer = "0";  // without leading zeros
  std::string fraction;       // without trailing zeros

  std::strong_ordering operator<=>(const Decimal& other) const;
  bool operator==(const Decimal&) const = default;
};

/// `number`: a finite JSON number.
Decimal decimal_of(const Json& number);

struct NumberBound {
  Decimal value;
  bool exclusive = false;
};

struct NumberSpec {
  bool integer = false;
  std::optional<NumberBound> low, high;
  uint64_t multiple_of = 1;  // above 1: whole multiples of it alone
};

/// False where the bounds contradict each other or the number is outside of them.
bool contains(const NumberSpec& spec, const Json& number);

/// The spellings of the numbers that are allowed, and of no others. What no schema forbids is cut
/// to what any reader takes: whole numbers of at most 18 digits where no bound asks for more;
/// fractions of at most 17 digits, fewer near a bound, so that reading the number as a double does
/// not carry it past the bound; exponents of at most two digits, and none where there is a bound.
/// Never "-0". Empty when no number fits. Bounds of at most 307 digits before the
/// point.
Dfa number_text(const NumberSpec& spec);

}  // namespace gemma4
