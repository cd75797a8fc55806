// Methods of strings and dictionaries, and loop.cycle.
#include <algorithm>
#include <optional>

#include "lib/text/jinja/filters.h"
#include "lib/text/jinja/loop.h"
#include "lib/text/jinja/strings.h"

namespace gemma4::jinja {
namespace {

const Text& text_argument(const Value& value, std::string_view method) {
  if (!value.is(Kind::kString)) {
    throw Failure(std::string(method) + " needs a string, not " + std::string(kind_name(value)));
  }
  return value.as_text();
}

std::optional<Text> optional_text(const Value& value, std::string_view method) {
  if (value.is(Kind::kNone)) return std::nullopt;
  return text_argument(value, method);
}

int64_t count_argument(const Value& value, std::string_view method) {
  if (!value.is_integral()) {
    throw Failure(std::string(method) + " needs an integer, not " + std::string(kind_name(value)));
  }
  return static_cast<int64_t>(std::clamp<Integer>(value.as_integer(), -1, INT64_MAX));
}

Value strip_method(const Text& text, ArgumentReader& reader, Side side) {
  const Value characters = reader.take("chars", Value::none());
  reader.finish();
  return Value::string(strip(text, optional_text(characters, "strip"), side));
}

Value split_method(const Text& text, ArgumentReader& reader, Budget& budget) {
  const Value separator = reader.take("sep", Value::none());
  const int64_t limit = count_argument(reader.take("maxsplit", Value::integer(-1)), "split");
  reader.finish();
  return Value::list(split(text, optional_text(separator, "split"), limit, budget), budget);
}

// startswith and endswith take a string or a tuple of strings.
Value affix_method(const Text& text, ArgumentReader& reader, bool at_start, Budget& budget) {
  const Value affix = reader.require(at_start ? "prefix" : "suffix");
  reader.finish();
  const auto matches = [&](const Value& candidate) {
    const std::string_view wanted = text_argument(candidate, "startswith or endswith").view();
    budget.step(1 + wanted.size() / 64);
    return at_start ? text.view().starts_with(wanted) : text.view().ends_with(wanted);
  };
  if (!affix.is(Kind::kList)) return Value::boolean(matches(affix));
  const auto& candidates = affix.as_list().items;
  return Value::boolean(std::any_of(candidates.begin(), candidates.end(), matches));
}

Value replace_method(const Text& text, ArgumentReader& reader, Budget& budget) {
  const Value from = reader.require("old");
  const Value to = reader.require("new");
  const int64_t count = count_argument(reader.take("count", Value::integer(-1)), "replace");
  reader.finish();
  return Value::string(
      replace(text, text_argument(from, "replace"), text_argument(to, "replace"), count, budget));
}

Value case_method(const Text& text, ArgumentReader& reader, LetterCase letter_case,
                  Budget& budget) {
  reader.finish();
  return Value::string(change_case(text, letter_case, budget));
}

Value join_method(const Text& text, ArgumentReader& reader, Budget& budget) {
  const Value items = reader.require("iterable");
  reader.finish();
  const Elements elements(items, budget);
  for (size_t i = 0; i < elements.size(); ++i) text_argument(elements.at(i), "join");
  return Value::string(join(items, text, budget));
}

constexpr std::string_view kStringMethods[] = {"split",      "strip",    "lstrip",     "rstrip",
                                               "startswith", "endswith", "replace",    "lower",
                                               "upper",      "title",    "capitalize", "join"};
constexpr std::string_view kMapMethods[] = {"get", "items", "keys", "values"};

Value call_string_method(const Text& text, std::string_view name, ArgumentReader& reader,
                         Budget& budget) {
  if (name == "split") return split_method(text, reader, budget);
  if (name == "strip") return strip_method(text, reader, Side::kBoth);
  if (name == "lstrip") return strip_method(text, reader, Side::kLeft);
  if (name == "rstrip") return strip_method(text, reader, Side::kRight);
  if (name == "startswith") return affix_method(text, reader, true, budget);
  if (name == "endswith") return affix_method(text, reader, false, budget);
  if (name == "replace") return replace_method(text, reader, budget);
  if (name == "lower") return case_method(text, reader, LetterCase::kLower, budget);
  if (name == "upper") return case_method(text, reader, LetterCase::kUpper, budget);
  if (name == "title") return case_method(text, reader, LetterCase::kTitle, budget);
  if (name == "capitalize") return case_method(text, reader, LetterCase::kCapitalized, budget);
  return join_method(text, reader, budget);
}

Value call_map_method(const Map& map, std::string_view name, ArgumentReader& reader,
                      Budget& budget) {
  if (name == "get") {
    const Value key = reader.require("key");
    Value fallback = reader.take("default", Value::none());
    reader.finish();
    const Value* found = key.is(Kind::kString) ? map.find(key.as_text().view()) : nullptr;
    return found != nullptr ? *found : fallback;
  }
  reader.finish();
  std::vector<Value> items;
  for (const auto& [key, value] : map.entries()) {
    if (name == "keys") {
      items.push_back(Value::string(key));
    } else if (name == "values") {
      items.push_back(value);
    } else {
      items.push_back(Value::list({Value::string(key), value}, budget, true));
    }
  }
  return Value::list(std::move(items), budget);
}

}  // namespace

bool has_method(const Value& receiver, std::string_view name) {
  const auto has = [&](const auto& names) {
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
  };
  if (receiver.is(Kind::kString)) return has(kStringMethods);
  if (receiver.is(Kind::kMap)) return has(kMapMethods);
  return receiver.is(Kind::kLoop) && name == "cycle";
}

Value call_method(const Value& receiver, std::string_view name, const Arguments& arguments,
                  Budget& budget) {
  budget.step();
  ArgumentReader reader(name, arguments);
  if (receiver.is(Kind::kString)) {
    return call_string_method(receiver.as_text(), name, reader, budget);
  }
  if (receiver.is(Kind::kMap)) return call_map_method(receiver.as_map(), name, reader, budget);
  if (arguments.positional.empty() || !arguments.named.empty()) {
    throw Failure("cycle needs one or more values");
  }
  return arguments.positional[receiver.as_loop()->index0 % arguments.positional.size()];
}

}  // namespace gemma4::jinja
