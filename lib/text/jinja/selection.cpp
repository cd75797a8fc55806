#include "lib/text/jinja/selection.h"

#include <algorithm>
#include <optional>

#include "lib/text/jinja/arithmetic.h"
#include "lib/text/jinja/print.h"
#include "lib/text/jinja/strings.h"

namespace gemma4::jinja {
namespace {

std::string name_argument(const Value& value, std::string_view filter) {
  if (!value.is(Kind::kString)) {
    throw Failure(std::string(filter) + " needs a name, not " + std::string(kind_name(value)));
  }
  return std::string(value.as_text().view());
}

// The arguments after the first `count` positional ones.
Arguments without_first(const Arguments& arguments, size_t count) {
  Arguments rest = arguments;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<std::ptrdiff_t>(count));
  return rest;
}

Value map_attribute(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("map", arguments);
  const Value path = reader.take("attribute", Value::none());
  const Value fallback = reader.take("default", Value());
  reader.finish();
  std::vector<Value> results;
  for (const Value& item : all_elements(input, budget)) {
    Value found = item_by_path(item, path, budget);
    if (found.is(Kind::kUndefined) && !fallback.is(Kind::kUndefined)) found = fallback;
    results.push_back(std::move(found));
  }
  return Value::list(std::move(results), budget);
}

Value map_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  if (arguments.positional.empty()) return map_attribute(input, arguments, budget);
  const std::string name = name_argument(arguments.positional[0], "map");
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) throw Failure("unknown filter '" + name + "'");
  const Arguments rest = without_first(arguments, 1);
  std::vector<Value> results;
  for (const Value& item : all_elements(input, budget)) {
    budget.step();
    results.push_back(filter(item, rest, budget));
  }
  return Value::list(std::move(results), budget);
}

// select, reject, selectattr, rejectattr: the elements for which a test (without one: truth) of
// the element or of one of its attributes gives `kWanted`.
template <bool kWanted, bool kOfAttribute>
Value select_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  const size_t before_test = kOfAttribute ? 1 : 0;
  if (arguments.positional.size() < before_test) throw Failure("an attribute's name is missing");
  TestFunction test = nullptr;
  Arguments rest;
  if (arguments.positional.size() > before_test) {
    const std::string name = name_argument(arguments.positional[before_test], "select");
    test = find_test(name);
    if (test == nullptr) throw Failure("unknown test '" + name + "'");
    rest = without_first(arguments, before_test + 1);
  }
  std::vector<Value> kept;
  for (const Value& item : all_elements(input, budget)) {
    budget.step();
    const Value looked_at =
        kOfAttribute ? item_by_path(item, arguments.positional[0], budget) : item;
    const bool passed = test == nullptr ? truth(looked_at) : test(looked_at, rest, budget);
    if (passed == kWanted) kept.push_back(item);
  }
  return Value::list(std::move(kept), budget);
}

// Strings compare without regard to case unless asked otherwise.
Value sort_key(const Value& value, bool case_sensitive, Budget& budget) {
  if (case_sensitive || !value.is(Kind::kString)) return value;
  return Value::string(change_case(value.as_text(), LetterCase::kLower, budget));
}

// Stable; equal keys keep their order also when reversed. Throws Failure when keys have no order.
void sort_by_key(std::vector<std::pair<Value, Value>>& keyed, bool reverse, Budget& budget) {
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    return (reverse ? compare(b.first, a.first, budget) : compare(a.first, b.first, budget)) < 0;
  });
}

Value sort_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("sort", arguments);
  const bool reverse = truth(reader.take("reverse", Value::boolean(false)));
  const bool case_sensitive = truth(reader.take("case_sensitive", Value::boolean(false)));
  const Value attribute = reader.take("attribute", Value::none());
  reader.finish();
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : all_elements(input, budget)) {
    const Value key = attribute.is(Kind::kNone) ? item : item_by_path(item, attribute, budget);
    keyed.emplace_back(sort_key(key, case_sensitive, budget), item);
  }
  sort_by_key(keyed, reverse, budget);
  std::vector<Value> items;
  for (auto& entry : keyed) items.push_back(std::move(entry.second));
  return Value::list(std::move(items), budget);
}

Value dictsort_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("dictsort", arguments);
  const bool case_sensitive = truth(reader.take("case_sensitive", Value::boolean(false)));
  const std::string by = name_argument(reader.take("by", Value::string("key", true)), "dictsort");
  const bool reverse = truth(reader.take("reverse", Value::boolean(false)));
  reader.finish();
  if (by != "key" && by != "value") throw Failure("dictsort sorts by 'key' or 'value'");
  if (!input.is(Kind::kMap)) {
    throw Failure("dictsort needs a dictionary, not " + std::string(kind_name(input)));
  }
  std::vector<std::pair<Value, Value>> keyed;
  for (const auto& [name, value] : input.as_map().entries()) {
    const Value key = by == "key" ? Value::string(name) : value;
    keyed.emplace_back(sort_key(key, case_sensitive, budget),
                       Value::list({Value::string(name), value}, budget, true));
  }
  sort_by_key(keyed, reverse, budget);
  std::vector<Value> items;
  for (auto& entry : keyed) items.push_back(std::move(entry.second));
  return Value::list(std::move(items), budget);
}

Value unique_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("unique", arguments);
  const bool case_sensitive = truth(reader.take("case_sensitive", Value::boolean(false)));
  reader.finish();
  std::vector<Value> kept, keys;
  for (const Value& item : all_elements(input, budget)) {
    const Value key = sort_key(item, case_sensitive, budget);
    const bool known = std::any_of(keys.begin(), keys.end(),
                                   [&](const Value& other) { return equal(key, other, budget); });
    if (known) continue;
    keys.push_back(key);
    kept.push_back(item);
  }
  return Value::list(std::move(kept), budget);
}

Value sum_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("sum", arguments);
  const Value attribute = reader.take("attribute", Value::none());
  Value total = reader.take("start", Value::integer(0));
  reader.finish();
  for (const Value& item : all_elements(input, budget)) {
    const Value term = attribute.is(Kind::kNone) ? item : item_by_path(item, attribute, budget);
    total = arithmetic("+", total, term, budget);
  }
  return total;
}

// min and max.
template <int kSign>
Value extreme_filter(const Value& input, const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("min or max", arguments);
  const bool case_sensitive = truth(reader.take("case_sensitive", Value::boolean(false)));
  reader.finish();
  Value best = Value::undefined("the least or greatest of nothing");
  Value best_key;
  for (const Value& item : all_elements(input, budget)) {
    const Value key = sort_key(item, case_sensitive, budget);
    if (!best_key.is(Kind::kUndefined) && compare(key, best_key, budget) * kSign <= 0) continue;
    best = item;
    best_key = key;
  }
  return best;
}

struct Entry {
  std::string_view name;
  FilterFunction filter;
};

constexpr Entry kFilters[] = {
    {"map", map_filter},
    {"select", select_filter<true, false>},
    {"reject", select_filter<false, false>},
    {"selectattr", select_filter<true, true>},
    {"rejectattr", select_filter<false, true>},
    {"sort", sort_filter},
    {"dictsort", dictsort_filter},
    {"unique", unique_filter},
    {"sum", sum_filter},
    {"min", extreme_filter<-1>},
    {"max", extreme_filter<1>},
};

}  // namespace

FilterFunction find_selection_filter(std::string_view name) {
  const auto* found = std::find_if(std::begin(kFilters), std::end(kFilters),
                                   [&](const Entry& entry) { return entry.name == name; });
  return found == std::end(kFilters) ? nullptr : found->filter;
}

std::vector<Value> all_elements(const Value& value, Budget& budget) {
  const Elements elements(value, budget);
  budget.allocate(elements.size() * sizeof(Value));
  std::vector<Value> items;
  items.reserve(elements.size());
  for (size_t i = 0; i < elements.size(); ++i) items.push_back(elements.at(i));
  return items;
}

Value item_by_path(const Value& item, const Value& path, Budget& budget) {
  if (!path.is(Kind::kString)) return get_item(item, path);
  Value found = item;
  for (const Value& part : split(path.as_text(), Text(".", true), -1, budget)) {
    const std::string_view name = part.as_text().view();
    const bool is_index = !name.empty() && name.size() < 10 &&
                          name.find_first_not_of("0123456789") == std::string_view::npos;
    found = get_item(found, is_index ? Value::integer(std::stol(std::string(name))) : part);
  }
  return found;
}

}  // namespace gemma4::jinja
