#include "lib/text/jinja/arithmetic.h"

#include <cmath>
#include <string>

namespace gemma4::jinja {
namespace {

[[noreturn]] void refuse(std::string_view op, const Value& left, const Value& right) {
  for (const Value* operand : {&left, &right}) {
    if (operand->is(Kind::kUndefined)) {
      throw Failure("'" + operand->undefined_name() + "' is undefined");
    }
  }
  throw Failure("cannot apply '" + std::string(op) + "' to " + std::string(kind_name(left)) +
                " and " + std::string(kind_name(right)));
}

Integer checked(bool overflow, Integer result) {
  if (overflow) throw Failure("number out of range");
  return result;
}

Integer floor_divide(Integer a, Integer b) {
  const Integer quotient = a / b;
  return quotient - ((a % b != 0 && (a < 0) != (b < 0)) ? 1 : 0);
}

Value power(Integer base, Integer exponent) {
  if (exponent < 0) {
    return Value::real(std::pow(static_cast<double>(base), static_cast<double>(exponent)));
  }
  Integer result = 1;
  if (base == 0 || base == 1) return Value::integer(exponent == 0 ? 1 : base);
  if (base == -1) return Value::integer(exponent % 2 == 0 ? 1 : -1);
  for (Integer i = 0; i < exponent; ++i) {
    Integer product = 0;
    const bool overflow = __builtin_mul_overflow(result, base, &product);
    result = checked(overflow, product);
  }
  return Value::integer(result);
}

Value integer_arithmetic(std::string_view op, Integer a, Integer b) {
  Integer result = 0;
  if (op == "+") {
    const bool overflow = __builtin_add_overflow(a, b, &result);
    return Value::integer(checked(overflow, result));
  }
  if (op == "-") {
    const bool overflow = __builtin_sub_overflow(a, b, &result);
    return Value::integer(checked(overflow, result));
  }
  if (op == "*") {
    const bool overflow = __builtin_mul_overflow(a, b, &result);
    return Value::integer(checked(overflow, result));
  }
  if (op == "**") return power(a, b);
  if (b == 0) throw Failure("division by zero");
  if (op == "/") return Value::real(static_cast<double>(a) / static_cast<double>(b));
  if (b == -1) return op == "//" ? negate(Value::integer(a)) : Value::integer(0);
  return Value::integer(op == "//" ? floor_divide(a, b) : a - floor_divide(a, b) * b);
}

Value float_arithmetic(std::string_view op, double a, double b) {
  if (op == "+") return Value::real(a + b);
  if (op == "-") return Value::real(a - b);
  if (op == "*") return Value::real(a * b);
  if (op == "**") return Value::real(std::pow(a, b));
  if (b == 0) throw Failure("division by zero");
  if (op == "/") return Value::real(a / b);
  if (op == "//") return Value::real(std::floor(a / b));
  const double rest = std::fmod(a, b);
  return Value::real(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
}

Value join_lists(const Value& left, const Value& right, Budget& budget) {
  std::vector<Value> items = left.as_list().items;
  budget.step(items.size() + right.as_list().items.size());
  items.insert(items.end(), right.as_list().items.begin(), right.as_list().items.end());
  return Value::list(std::move(items), budget, left.as_list().tuple);
}

Value repeat(const Value& value, Integer times, Budget& budget) {
  const bool is_text = value.is(Kind::kString);
  const size_t size = is_text ? value.as_text().size() : value.as_list().items.size();
  if (times < 0 || size == 0) times = 0;
  const auto limit = static_cast<Integer>(budget.limits().allocated_bytes);
  if (times > limit || times * static_cast<Integer>(size) > limit) {
    throw Failure("needs too much memory");
  }
  budget.allocate(static_cast<uint64_t>(times) * size);
  if (is_text) {
    TextBuilder out;
    for (Integer i = 0; i < times; ++i) out.append(value.as_text());
    return Value::string(out.take());
  }
  budget.allocate(static_cast<uint64_t>(times) * size * sizeof(Value));
  std::vector<Value> items;
  for (Integer i = 0; i < times; ++i) {
    items.insert(items.end(), value.as_list().items.begin(), value.as_list().items.end());
  }
  return Value::list(std::move(items), budget, value.as_list().tuple);
}

bool is_repeatable(const Value& value) { return value.is(Kind::kString) || value.is(Kind::kList); }

}  // namespace

Value arithmetic(std::string_view op, const Value& left, const Value& right, Budget& budget) {
  if (left.is_number() && right.is_number()) {
    if (left.is_integral() && right.is_integral()) {
      return integer_arithmetic(op, left.as_integer(), right.as_integer());
    }
    return float_arithmetic(op, left.as_double(), right.as_double());
  }
  if (op == "+") {
    if (left.is(Kind::kString) && right.is(Kind::kString)) {
      size_t copied = 0;
      Text joined = Text::concatenate(left.as_text(), right.as_text(), copied);
      budget.allocate(copied);
      return Value::string(std::move(joined));
    }
    if (left.is(Kind::kList) && right.is(Kind::kList) &&
        left.as_list().tuple == right.as_list().tuple) {
      return join_lists(left, right, budget);
    }
  }
  if (op == "*") {
    if (is_repeatable(left) && right.is_integral()) {
      return repeat(left, right.as_integer(), budget);
    }
    if (is_repeatable(right) && left.is_integral()) {
      return repeat(right, left.as_integer(), budget);
    }
  }
  refuse(op, left, right);
}

Value negate(const Value& value) {
  if (value.is(Kind::kFloat)) return Value::real(-value.as_double());
  if (!value.is_integral()) {
    throw Failure("cannot negate " + std::string(kind_name(value)));
  }
  Integer result = 0;
  const bool overflow = __builtin_sub_overflow(Integer{0}, value.as_integer(), &result);
  return Value::integer(checked(overflow, result));
}

}  // namespace gemma4::jinja
