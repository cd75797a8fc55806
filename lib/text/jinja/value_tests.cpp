// The tests of the template language: `value is name`.
#include <algorithm>

#include "lib/text/jinja/filters.h"
#include "lib/text/jinja/print.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

using Unary = bool (*)(const Value&);

// A test without arguments.
template <Unary kTest>
bool plain(const Value& value, const Arguments& arguments, Budget&) {
  ArgumentReader("the test", arguments).finish();
  return kTest(value);
}

Value other(const Arguments& arguments) {
  ArgumentReader reader("the test", arguments);
  Value value = reader.require("other");
  reader.finish();
  return value;
}

bool is_defined(const Value& value) { return !value.is(Kind::kUndefined); }
bool is_undefined(const Value& value) { return value.is(Kind::kUndefined); }
bool is_none(const Value& value) { return value.is(Kind::kNone); }
bool is_string(const Value& value) { return value.is(Kind::kString); }
bool is_boolean(const Value& value) { return value.is(Kind::kBoolean); }
bool is_integer(const Value& value) { return value.is(Kind::kInteger); }
bool is_float(const Value& value) { return value.is(Kind::kFloat); }
bool is_number(const Value& value) { return value.is_number(); }
bool is_mapping(const Value& value) { return value.is(Kind::kMap); }
bool is_callable(const Value& value) {
  return value.is(Kind::kMacro) || value.is(Kind::kMethod) || value.is(Kind::kFunction);
}
bool is_true(const Value& value) { return value.is(Kind::kBoolean) && value.as_boolean(); }
bool is_false(const Value& value) { return value.is(Kind::kBoolean) && !value.as_boolean(); }

Integer integer_input(const Value& value) {
  if (!value.is_integral()) {
    throw Failure("the test needs an integer, not " + std::string(kind_name(value)));
  }
  return value.as_integer();
}
bool is_odd(const Value& value) { return integer_input(value) % 2 != 0; }
bool is_even(const Value& value) { return integer_input(value) % 2 == 0; }

bool is_divisible(const Value& value, const Arguments& arguments, Budget&) {
  const Integer divisor = integer_input(other(arguments));
  if (divisor == 0) throw Failure("division by zero");
  return divisor == -1 || integer_input(value) % divisor == 0;
}

template <bool kUpper>
bool is_case(const Value& value, const Arguments& arguments, Budget& budget) {
  ArgumentReader("the test", arguments).finish();
  const Text text = to_text(value, budget);
  budget.allocate(text.size());
  const std::string upper = to_upper(text.view()), lower = to_lower(text.view());
  return upper != lower && (kUpper ? upper : lower) == text.view();
}

bool is_equal(const Value& value, const Arguments& arguments, Budget& budget) {
  return equal(value, other(arguments), budget);
}
bool is_not_equal(const Value& value, const Arguments& arguments, Budget& budget) {
  return !equal(value, other(arguments), budget);
}
bool is_less(const Value& value, const Arguments& arguments, Budget& budget) {
  return compare(value, other(arguments), budget) < 0;
}
bool is_less_or_equal(const Value& value, const Arguments& arguments, Budget& budget) {
  return compare(value, other(arguments), budget) <= 0;
}
bool is_greater(const Value& value, const Arguments& arguments, Budget& budget) {
  return compare(value, other(arguments), budget) > 0;
}
bool is_greater_or_equal(const Value& value, const Arguments& arguments, Budget& budget) {
  return compare(value, other(arguments), budget) >= 0;
}
bool is_in(const Value& value, const Arguments& arguments, Budget& budget) {
  return contains(other(arguments), value, budget);
}
// Without identity of objects: equal values of one kind.
bool is_same(const Value& value, const Arguments& arguments, Budget& budget) {
  const Value wanted = other(arguments);
  return value.kind() == wanted.kind() && equal(value, wanted, budget);
}

struct Entry {
  std::string_view name;
  TestFunction test;
};

constexpr Entry kTests[] = {
    {"defined", plain<is_defined>},
    {"undefined", plain<is_undefined>},
    {"none", plain<is_none>},
    {"string", plain<is_string>},
    {"boolean", plain<is_boolean>},
    {"integer", plain<is_integer>},
    {"float", plain<is_float>},
    {"number", plain<is_number>},
    {"mapping", plain<is_mapping>},
    {"sequence", plain<is_iterable>},
    {"iterable", plain<is_iterable>},
    {"callable", plain<is_callable>},
    {"true", plain<is_true>},
    {"false", plain<is_false>},
    {"odd", plain<is_odd>},
    {"even", plain<is_even>},
    {"divisibleby", is_divisible},
    {"upper", is_case<true>},
    {"lower", is_case<false>},
    {"eq", is_equal},
    {"equalto", is_equal},
    {"ne", is_not_equal},
    {"lt", is_less},
    {"lessthan", is_less},
    {"le", is_less_or_equal},
    {"gt", is_greater},
    {"greaterthan", is_greater},
    {"ge", is_greater_or_equal},
    {"in", is_in},
    {"sameas", is_same},
};

}  // namespace

TestFunction find_test(std::string_view name) {
  // Operators, as select and its like take them.
  if (name == "==") name = "eq";
  if (name == "!=") name = "ne";
  if (name == "<") name = "lt";
  if (name == "<=") name = "le";
  if (name == ">") name = "gt";
  if (name == ">=") name = "ge";
  const auto* found = std::find_if(std::begin(kTests), std::end(kTests),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kTests) ? nullptr : found->test;
}

}  // namespace gemma4::jinja
