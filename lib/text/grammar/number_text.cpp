#include "lib/text/grammar/number_text.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <tuple>
#include <vector>

#include "lib/text/grammar/limits.h"
#include "lib/text/grammar/regex_parser.h"

namespace gemma4 {
namespace {

constexpr size_t kDefaultDigits = 18;
constexpr size_t kMostDigits = 308;  // of a double
constexpr size_t kExactDigits = 15;  // decimals of so many digits are different doubles

// How two numbers without sign compare.
std::strong_ordering compare_sizes(const Decimal& a, const Decimal& b) {
  if (a.integer.size() != b.integer.size()) return a.integer.size() <=> b.integer.size();
  if (a.integer != b.integer) return a.integer <=> b.integer;
  return a.fraction <=> b.fraction;  // no trailing zeros: as of texts
}

// A number without sign, as far as it was read, beside a bound: how many digits of its integer or
// fraction part were read, and how those compare with as many digits of the bound.
struct Reading {
  enum Part { kStart, kInteger, kFraction, kDecided } part;
  size_t digits;
  int order;  // -1: less, 0: equal so far, 1: greater
  auto operator<=>(const Reading&) const = default;
};

// -1, 0, 1: the number as it stands is less than, equal to, or greater than the bound.
int verdict(const Reading& reading, const Decimal& bound) {
  const size_t length = bound.integer.size();
  switch (reading.part) {
    case Reading::kStart:
      return 0;
    case Reading::kInteger:
      if (reading.digits != length) return reading.digits < length ? -1 : 1;
      return reading.order == 0 && !bound.fraction.empty() ? -1 : reading.order;
    case Reading::kFraction:
      return reading.digits < bound.fraction.size() ? -1 : 0;
    case Reading::kDecided:
      return reading.order;
  }
  return 0;
}

int compare_digits(char a, char b) { return a < b ? -1 : a > b ? 1 : 0; }

std::optional<Reading> read_on(const Reading& reading, char c, const Decimal& bound) {
  const size_t length = bound.integer.size();
  switch (reading.part) {
    case Reading::kStart:
      if (c == '.') return std::nullopt;
      return Reading{Reading::kInteger, 1, compare_digits(c, bound.integer[0])};
    case Reading::kInteger:
      if (c == '.') {
        if (reading.digits != length) {
          return Reading{Reading::kDecided, 0, reading.digits < length ? -1 : 1};
        }
        if (reading.order != 0) return Reading{Reading::kDecided, 0, reading.order};
        return Reading{Reading::kFraction, 0, 0};
      }
      if (reading.digits >= length) return Reading{Reading::kInteger, length + 1, 1};
      return Reading{
          Reading::kInteger, reading.digits + 1,
          reading.order != 0 ? reading.order : compare_digits(c, bound.integer[reading.digits])};
    case Reading::kFraction: {
      if (c == '.') return std::nullopt;
      const bool past = reading.digits >= bound.fraction.size();
      const int order = compare_digits(c, past ? '0' : bound.fraction[reading.digits]);
      if (order != 0) return Reading{Reading::kDecided, 0, order};
      return Reading{Reading::kFraction, past ? reading.digits : reading.digits + 1, 0};
    }
    case Reading::kDecided:
      if (c == '.') return std::nullopt;
      return reading;
  }
  return std::nullopt;
}

// Numbers without sign that are less than, equal to or greater than `bound`, as wanted.
Dfa compared(const Decimal& bound, bool less, bool equal, bool greater) {
  DfaBuilder builder;
  std::map<Reading, uint32_t> ids;
  std::vector<Reading> readings;
  const auto id_of = [&](const Reading& reading) {
    const auto [it, is_new] = ids.try_emplace(reading, static_cast<uint32_t>(readings.size()));
    if (is_new) {
      const int order = verdict(reading, bound);
      builder.add_state(reading.part != Reading::kStart && (order < 0   ? less
                                                            : order > 0 ? greater
                                                                        : equal));
      readings.push_back(reading);
    }
    return it->second;
  };
  id_of({Reading::kStart, 0, 0});
  for (uint32_t id = 0; id < readings.size(); ++id) {
    for (const char c : std::string(".0123456789")) {
      const auto next = read_on(readings[id], c, bound);
      if (!next) continue;
      const auto byte = static_cast<uint8_t>(c);
      builder.add_edge(id, byte, byte, id_of(*next));
    }
  }
  return builder.build();
}

// Whole numbers that `divisor` divides: the remainder of the digits read so far is the state.
Dfa multiples_of(uint64_t divisor) {
  DfaBuilder builder;
  builder.add_state(false);
  for (uint64_t r = 0; r < divisor; ++r) builder.add_state(r == 0);
  for (uint64_t state = 0; state <= divisor; ++state) {
    const uint64_t remainder = state == 0 ? 0 : state - 1;
    for (uint64_t digit = 0; digit < 10; ++digit) {
      const auto byte = static_cast<uint8_t>('0' + digit);
      builder.add_edge(static_cast<uint32_t>(state), byte, byte,
                       static_cast<uint32_t>((remainder * 10 + digit) % divisor + 1));
    }
  }
  return builder.build();
}

// `positive`, or "-" and one of `negative`.
Dfa with_sign(const Dfa& positive, const Dfa& negative) {
  DfaBuilder builder;
  builder.add_state(false);
  const auto first = static_cast<uint32_t>(builder.size());
  for (size_t s = 0; s < positive.size(); ++s) builder.add_state(positive.accepting[s]);
  const auto second = static_cast<uint32_t>(builder.size());
  for (size_t s = 0; s < negative.size(); ++s) builder.add_state(negative.accepting[s]);
  const auto copy = [&](const Dfa& dfa, uint32_t state, uint32_t from, uint32_t offset) {
    for (const Dfa::Edge& edge : dfa.edges_of(state)) {
      builder.add_edge(from, edge.low, edge.high, offset + edge.target);
    }
  };
  if (!positive.empty()) copy(positive, 0, 0, first);
  for (uint32_t s = 0; s < positive.size(); ++s) copy(positive, s, first + s, first);
  if (!negative.empty()) builder.add_edge(0, '-', '-', second);
  for (uint32_t s = 0; s < negative.size(); ++s) copy(negative, s, second + s, second);
  return builder.build();
}

// Numbers without sign between two bounds without sign.
Dfa between(Dfa format, const std::optional<NumberBound>& low,
            const std::optional<NumberBound>& high) {
  if (low) {
    format = intersection(format, compared(low->value, false, !low->exclusive, true));
  }
  if (high) {
    format = intersection(format, compared(high->value, true, !high->exclusive, false));
  }
  return format;
}

// The bound of -x where `bound` is one of x.
NumberBound mirrored(NumberBound bound) {
  bound.value.negative = false;
  return bound;
}

bool at_least_zero(const std::optional<NumberBound>& bound) {
  return bound && !bound->value.negative;
}

std::string count_text(size_t least, size_t most) {
  return "{" + std::to_string(least) + "," + std::to_string(most) + "}";
}

}  // namespace

std::strong_ordering Decimal::operator<=>(const Decimal& other) const {
  if (negative != other.negative) {
    return negative ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  return negative ? compare_sizes(other, *this) : compare_sizes(*this, other);
}

Decimal decimal_of(const Json& number) {
  std::string text = number.dump();  // the shortest spelling that is read as the same double
  Decimal decimal;
  decimal.negative = text[0] == '-';
  if (decimal.negative) text.erase(0, 1);
  int exponent = 0;
  if (const size_t e = text.find_first_of("eE"); e != std::string::npos) {
    const size_t digits = text[e + 1] == '+' ? e + 2 : e + 1;
    std::from_chars(text.data() + digits, text.data() + text.size(), exponent);
    text.resize(e);
  }
  size_t point = text.find('.');
  if (point == std::string::npos) {
    point = text.size();
  } else {
    text.erase(point, 1);
  }
  // A double's exponent is at most 308 in size, so these are short.
  auto position = static_cast<ptrdiff_t>(point) + exponent;
  if (position <= 0) {
    text.insert(0, static_cast<size_t>(1 - position), '0');
    position = 1;
  }
  if (static_cast<size_t>(position) > text.size()) text.resize(static_cast<size_t>(position), '0');
  decimal.integer = text.substr(0, static_cast<size_t>(position));
  decimal.fraction = text.substr(static_cast<size_t>(position));
  decimal.integer.erase(
      0, std::min(decimal.integer.find_first_not_of('0'), decimal.integer.size() - 1));
  decimal.fraction.erase(decimal.fraction.find_last_not_of('0') + 1);
  if (decimal.integer == "0" && decimal.fraction.empty()) decimal.negative = false;
  return decimal;
}

bool contains(const NumberSpec& spec, const Json& number) {
  const Decimal value = decimal_of(number);
  if ((spec.integer || spec.multiple_of > 1) && !value.fraction.empty()) return false;
  if (spec.low && (spec.low->exclusive ? value <= spec.low->value : value < spec.low->value)) {
    return false;
  }
  if (spec.high && (spec.high->exclusive ? value >= spec.high->value : value > spec.high->value)) {
    return false;
  }
  return spec.multiple_of <= 1 || multiples_of(spec.multiple_of).matches(value.integer);
}

Dfa number_text(const NumberSpec& spec) {
  const bool whole = spec.integer || spec.multiple_of > 1;
  const bool bounded = spec.low || spec.high;
  size_t bound_digits = 1;  // before the point
  for (const auto& bound : {spec.low, spec.high}) {
    if (bound) bound_digits = std::max(bound_digits, bound->value.integer.size());
  }
  // One digit more than the bound's, so that there is a number beyond it.
  const size_t digits = std::clamp(bound_digits + 1, kDefaultDigits, kMostDigits);
  std::string format = "(?:0|[1-9][0-9]" + count_text(0, digits - 1) + ")";
  if (!whole) {
    const size_t places = !bounded                       ? kDefaultDigits - 1
                          : bound_digits >= kExactDigits ? 0
                                                         : kExactDigits - bound_digits;
    if (places > 0) format += "(?:\\.[0-9]" + count_text(1, places) + ")?";
    if (!bounded) format += "(?:[eE][+-]?[0-9]{1,2})?";
  }
  Dfa unsigned_numbers = parse_regex(format, RegexMatch::kWhole);
  if (spec.multiple_of > 1) {
    unsigned_numbers = intersection(unsigned_numbers, multiples_of(spec.multiple_of));
  }
  Dfa positive, negative;
  const bool all_below_zero = spec.high && spec.high->value.negative;
  if (!all_below_zero) {
    positive =
        between(unsigned_numbers, at_least_zero(spec.low) ? spec.low : std::nullopt, spec.high);
  }
  if (!at_least_zero(spec.low)) {
    const NumberBound above_zero{Decimal{}, true};
    if (bounded) {
      negative = between(unsigned_numbers, all_below_zero ? mirrored(*spec.high) : above_zero,
                         spec.low ? std::optional(mirrored(*spec.low)) : std::nullopt);
    } else if (whole) {
      negative = between(unsigned_numbers, above_zero, std::nullopt);
    } else {
      // Without bounds there may be an exponent, which no comparison reads.
      negative = difference(unsigned_numbers,
                            parse_regex("0(?:\\.0+)?(?:[eE][+-]?[0-9]+)?", RegexMatch::kWhole));
    }
  }
  return with_sign(positive, negative);
}

}  // namespace gemma4
