#include "lib/text/jinja/filters.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "lib/text/jinja/arithmetic.h"
#include "lib/text/jinja/print.h"
#include "lib/text/jinja/selection.h"
#include "lib/text/jinja/strings.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

int64_t small_integer(const Value& value, std::string_view filter) {
  if (!value.is_integral()) {
    throw Failure(std::string(filter) + " needs an integer, not " + std::string(kind_name(value)));
  }
  return static_cast<int64_t>(std::clamp<Integer>(value.as_integer(), INT32_MIN, INT32_MAX));
}

Value trim_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("trim", arguments);
  const Value characters = reader.take("chars", Value::none());
  reader.finish();
  std::optional<Text> stripped;
  if (!characters.is(Kind::kNone)) stripped = to_text(characters, budget);
  return Value::string(strip(to_text(input, budget), stripped, Side::kBoth));
}

template <LetterCase kCase>
Value case_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("the filter", arguments).finish();
  return Value::string(change_case(to_text(input, budget), kCase, budget));
}

Value length_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("length", arguments).finish();
  if (input.is(Kind::kString)) budget.step(input.as_text().size() / 64);
  return Value::integer(static_cast<Integer>(length_of(input)));
}

Value list_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("list", arguments).finish();
  return Value::list(all_elements(input, budget), budget);
}

Value join_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("join", arguments);
  const Text separator = to_text(reader.take("d", Value::string(Text())), budget);
  const Value attribute = reader.take("attribute", Value::none());
  reader.finish();
  if (attribute.is(Kind::kNone)) return Value::string(join(input, separator, budget));
  std::vector<Value> parts;
  for (const Value& item : all_elements(input, budget)) {
    parts.push_back(item_by_path(item, attribute, budget));
  }
  return Value::string(join(Value::list(std::move(parts), budget), separator, budget));
}

Value first_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("first", arguments).finish();
  const Elements elements(input, budget);
  return elements.size() > 0 ? elements.at(0) : Value::undefined("the first item of nothing");
}

Value last_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("last", arguments).finish();
  const Elements elements(input, budget);
  return elements.size() > 0 ? elements.at(elements.size() - 1)
                             : Value::undefined("the last item of nothing");
}

Value default_filter(const Value& input, const Arguments& arguments, Budget&) {
  ArgumentReader reader("default", arguments);
  Value fallback = reader.take("default_value", Value::string(Text()));
  const bool also_false = truth(reader.take("boolean", Value::boolean(false)));
  reader.finish();
  const bool missing = input.is(Kind::kUndefined) || (also_false && !truth(input));
  return missing ? fallback : input;
}

Value items_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  if (input.is(Kind::kUndefined)) return Value::list({}, budget);
  if (!input.is(Kind::kMap)) {
    throw Failure("items needs a dictionary, not " + std::string(kind_name(input)));
  }
  return call_method(input, "items", arguments, budget);
}

Value tojson_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("tojson", arguments);
  JsonStyle style;
  // The parameters as chat templates are given them by transformers; Jinja's own has only indent.
  style.ensure_ascii = truth(reader.take("ensure_ascii", Value::boolean(false)));
  const Value indent = reader.take("indent", Value::none());
  const Value separators = reader.take("separators", Value::none());
  style.sort_keys = truth(reader.take("sort_keys", Value::boolean(false)));
  reader.finish();
  if (!indent.is(Kind::kNone)) {
    const int64_t width = small_integer(indent, "tojson");
    if (width > 64) throw Failure("tojson indents by 64 at most");
    style.indent = static_cast<int>(std::max<int64_t>(width, 0));
  }
  if (!separators.is(Kind::kNone)) {
    const Elements pair(separators, budget);
    if (pair.size() != 2) throw Failure("tojson needs two separators");
    style.item_separator = to_text(pair.at(0), budget).view();
    style.key_separator = to_text(pair.at(1), budget).view();
  }
  return Value::string(to_json(input, style, budget));
}

Value replace_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("replace", arguments);
  const Text from = to_text(reader.require("old"), budget);
  const Text to = to_text(reader.require("new"), budget);
  const Value count = reader.take("count", Value::none());
  reader.finish();
  const int64_t limit = count.is(Kind::kNone) ? -1 : small_integer(count, "replace");
  return Value::string(replace(to_text(input, budget), from, to, limit, budget));
}

// What Python's float() reads from text, decimal forms only.
std::optional<double> parse_float(const Text& text) {
  std::string digits(strip(text, std::nullopt, Side::kBoth).view());
  if (digits.empty() || digits.size() > 400) return std::nullopt;
  if (digits.find_first_not_of("0123456789+-.eE") != std::string::npos) return std::nullopt;
  char* end = nullptr;
  const double value = std::strtod(digits.c_str(), &end);
  return *end == '\0' ? std::optional(value) : std::nullopt;
}

std::optional<Integer> parse_integer(const Text& text) {
  const Text stripped = strip(text, std::nullopt, Side::kBoth);
  std::string_view digits = stripped.view();
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  if (digits.empty() || digits.size() > 37) return std::nullopt;
  Integer value = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return negative ? -value : value;
}

std::optional<Integer> truncate(double value) {
  if (!(std::fabs(value) < 1e37)) return std::nullopt;
  return static_cast<Integer>(value);
}

Value int_filter(const Value& input, const Arguments& arguments, Budget&) {
  ArgumentReader reader("int", arguments);
  const Value fallback = reader.take("default", Value::integer(0));
  const Value base = reader.take("base", Value::integer(10));
  reader.finish();
  if (small_integer(base, "int") != 10) throw Failure("int supports base 10 only");
  if (input.is(Kind::kUndefined)) throw Failure("'" + input.undefined_name() + "' is undefined");
  std::optional<Integer> value;
  if (input.is_integral()) value = input.as_integer();
  if (input.is(Kind::kFloat)) value = truncate(input.as_double());
  if (input.is(Kind::kString)) {
    value = parse_integer(input.as_text());
    const std::optional<double> real = parse_float(input.as_text());
    if (!value && real) value = truncate(*real);
  }
  return value ? Value::integer(*value) : fallback;
}

Value float_filter(const Value& input, const Arguments& arguments, Budget&) {
  ArgumentReader reader("float", arguments);
  const Value fallback = reader.take("default", Value::real(0));
  reader.finish();
  if (input.is(Kind::kUndefined)) throw Failure("'" + input.undefined_name() + "' is undefined");
  if (input.is_number()) return Value::real(input.as_double());
  std::optional<double> value;
  if (input.is(Kind::kString)) value = parse_float(input.as_text());
  return value ? Value::real(*value) : fallback;
}

Value string_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("string", arguments).finish();
  return Value::string(to_text(input, budget));
}

Value abs_filter(const Value& input, const Arguments& arguments, Budget&) {
  ArgumentReader("abs", arguments).finish();
  if (!input.is_number()) throw Failure("abs needs a number");
  if (input.is(Kind::kFloat)) return Value::real(std::fabs(input.as_double()));
  return input.as_integer() < 0 ? negate(input) : Value::integer(input.as_integer());
}

Value reverse_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader("reverse", arguments).finish();
  if (input.is(Kind::kString)) {
    return get_slice(input, Value::none(), Value::none(), Value::integer(-1), budget);
  }
  std::vector<Value> items = all_elements(input, budget);
  std::reverse(items.begin(), items.end());
  return Value::list(std::move(items), budget);
}

Value indent_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("indent", arguments);
  const Value width = reader.take("width", Value::integer(4));
  const bool first = truth(reader.take("first", Value::boolean(false)));
  const bool blank = truth(reader.take("blank", Value::boolean(false)));
  reader.finish();
  Text prefix;
  if (width.is(Kind::kString)) {
    prefix = width.as_text();
  } else {
    const int64_t columns = std::clamp<int64_t>(small_integer(width, "indent"), 0, 1000);
    prefix = Text(std::string(static_cast<size_t>(columns), ' '), true);
  }
  return Value::string(indent(to_text(input, budget), prefix, first, blank, budget));
}

struct Entry {
  std::string_view name;
  FilterFunction filter;
};

constexpr Entry kFilters[] = {
    {"trim", trim_filter},
    {"upper", case_filter<LetterCase::kUpper>},
    {"lower", case_filter<LetterCase::kLower>},
    {"title", case_filter<LetterCase::kTitle>},
    {"capitalize", case_filter<LetterCase::kCapitalized>},
    {"length", length_filter},
    {"count", length_filter},
    {"list", list_filter},
    {"join", join_filter},
    {"first", first_filter},
    {"last", last_filter},
    {"default", default_filter},
    {"d", default_filter},
    {"items", items_filter},
    {"tojson", tojson_filter},
    {"replace", replace_filter},
    {"int", int_filter},
    {"float", float_filter},
    {"string", string_filter},
    {"safe", string_filter},
    {"abs", abs_filter},
    {"reverse", reverse_filter},
    {"indent", indent_filter},
};

}  // namespace

FilterFunction find_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found != std::end(kFilters) ? found->filter : find_selection_filter(name);
}

}  // namespace gemma4::jinja
