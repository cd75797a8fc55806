#include "lib/text/jinja/value.h"

#include <algorithm>

#include "lib/base/utf8.h"
#include "lib/text/jinja/loop.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

constexpr size_t kIndexedFrom = 16;  // entries from which a dictionary pays for an index
constexpr uint64_t kValueBytes = sizeof(Value);

int compare_sizes(size_t a, size_t b) { return a < b ? -1 : a > b ? 1 : 0; }

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_integer() < b.as_integer() ? -1 : a.as_integer() > b.as_integer() ? 1 : 0;
  }
  const double x = a.as_double(), y = b.as_double();
  return x < y ? -1 : x > y ? 1 : 0;
}

bool equal_maps(const Map& a, const Map& b, Budget& budget) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* other = b.find(key.view());
    if (other == nullptr || !equal(value, *other, budget)) return false;
  }
  return true;
}

bool equal_lists(const List& a, const List& b, Budget& budget) {
  if (a.tuple != b.tuple || a.items.size() != b.items.size()) return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!equal(a.items[i], b.items[i], budget)) return false;
  }
  return true;
}

}  // namespace

const Value* Map::find(std::string_view key) const {
  if (!index_.empty()) {
    const auto found = index_.find(std::string(key));
    return found == index_.end() ? nullptr : &entries_[found->second].second;
  }
  for (const auto& entry : entries_) {
    if (entry.first.view() == key) return &entry.second;
  }
  return nullptr;
}

void Map::set(const Text& key, Value value) {
  depth_ = std::max(depth_, nesting(value) + 1);
  if (Value* known = const_cast<Value*>(find(key.view()))) {
    *known = std::move(value);
    return;
  }
  entries_.emplace_back(key, std::move(value));
  if (entries_.size() < kIndexedFrom) return;
  if (index_.empty()) {
    for (size_t i = 0; i < entries_.size(); ++i) {
      index_.emplace(std::string(entries_[i].first.view()), i);
    }
  } else {
    index_.emplace(std::string(key.view()), entries_.size() - 1);
  }
}

Value Value::list(std::vector<Value> items, Budget& budget, bool tuple) {
  budget.allocate((items.size() + 1) * kValueBytes);
  auto list = std::make_shared<List>();
  for (const Value& item : items) list->depth = std::max(list->depth, nesting(item) + 1);
  if (list->depth > budget.limits().value_depth) throw Failure("lists are nested too deeply");
  list->items = std::move(items);
  list->tuple = tuple;
  return Value(Data(std::shared_ptr<const List>(std::move(list))));
}

Value Value::map(Map entries, Budget& budget) {
  budget.allocate((entries.entries().size() + 1) * 2 * kValueBytes);
  if (entries.depth() > budget.limits().value_depth) {
    throw Failure("dictionaries are nested too deeply");
  }
  return Value(Data(std::make_shared<const Map>(std::move(entries))));
}

int nesting(const Value& value) {
  switch (value.kind()) {
    case Kind::kList:
      return value.as_list().depth;
    case Kind::kMap:
      return value.as_map().depth();
    case Kind::kMethod:
      return nesting(*value.as_method().receiver) + 1;
    case Kind::kLoop:
      return value.as_loop()->depth;
    default:
      return 0;
  }
}

std::string_view kind_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return "undefined value";
    case Kind::kNone:
      return "none";
    case Kind::kBoolean:
      return "boolean";
    case Kind::kInteger:
      return "integer";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "string";
    case Kind::kList:
      return value.as_list().tuple ? "tuple" : "list";
    case Kind::kRange:
      return "range";
    case Kind::kMap:
      return "dictionary";
    case Kind::kNamespace:
      return "namespace";
    case Kind::kLoop:
      return "loop";
    case Kind::kMacro:
      return "macro";
    case Kind::kMethod:
      return "method";
    case Kind::kFunction:
      return "function";
  }
  return "value";
}

bool truth(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBoolean:
      return value.as_boolean();
    case Kind::kInteger:
      return value.as_integer() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.as_text().empty();
    case Kind::kList:
      return !value.as_list().items.empty();
    case Kind::kRange:
      return value.as_range().count > 0;
    case Kind::kMap:
      return !value.as_map().entries().empty();
    default:
      return true;
  }
}

bool equal(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) {
    if (a.is_integral() && b.is_integral()) return a.as_integer() == b.as_integer();
    return a.as_double() == b.as_double();
  }
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      budget.step(std::min(a.as_text().size(), b.as_text().size()) / 64);
      return a.as_text().view() == b.as_text().view();
    case Kind::kList:
      return equal_lists(a.as_list(), b.as_list(), budget);
    case Kind::kMap:
      return equal_maps(a.as_map(), b.as_map(), budget);
    case Kind::kRange: {
      const Range &x = a.as_range(), &y = b.as_range();
      if (x.count != y.count) return false;
      return x.count == 0 || (x.start == y.start && (x.count == 1 || x.step == y.step));
    }
    case Kind::kNamespace:
      return &a.as_namespace() == &b.as_namespace();
    case Kind::kLoop:
      return a.as_loop() == b.as_loop();
    case Kind::kMacro:
      return a.as_macro() == b.as_macro();
    case Kind::kFunction:
      return a.function_name() == b.function_name();
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    default:
      return false;
  }
}

int compare(const Value& a, const Value& b, Budget& budget) {
  budget.step();
  if (a.is_number() && b.is_number()) return compare_numbers(a, b);
  if (a.is(Kind::kString) && b.is(Kind::kString)) {
    budget.step(std::min(a.as_text().size(), b.as_text().size()) / 64);
    // Bytes of UTF-8 sort like code points.
    const int order = a.as_text().view().compare(b.as_text().view());
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is(Kind::kList) && b.is(Kind::kList) && a.as_list().tuple == b.as_list().tuple) {
    const auto &x = a.as_list().items, &y = b.as_list().items;
    for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
      if (!equal(x[i], y[i], budget)) return compare(x[i], y[i], budget);
    }
    return compare_sizes(x.size(), y.size());
  }
  throw Failure("cannot order " + std::string(kind_name(a)) + " and " + std::string(kind_name(b)));
}

bool contains(const Value& container, const Value& element, Budget& budget) {
  if (container.is(Kind::kString)) {
    if (!element.is(Kind::kString)) {
      throw Failure("`in` a string needs a string, not " + std::string(kind_name(element)));
    }
    budget.step(container.as_text().size() / 64);
    return find_text(container.as_text().view(), element.as_text().view()) !=
           std::string_view::npos;
  }
  if (container.is(Kind::kMap)) {
    budget.step();
    return element.is(Kind::kString) &&
           container.as_map().find(element.as_text().view()) != nullptr;
  }
  const Elements elements(container, budget);
  for (size_t i = 0; i < elements.size(); ++i) {
    if (equal(elements.at(i), element, budget)) return true;
  }
  return false;
}

bool is_iterable(const Value& value) {
  return value.is(Kind::kUndefined) || value.is(Kind::kString) || value.is(Kind::kList) ||
         value.is(Kind::kRange) || value.is(Kind::kMap);
}

Elements::Elements(const Value& value, Budget& budget) : source_(value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return;
    case Kind::kList:
      size_ = value.as_list().items.size();
      return;
    case Kind::kRange:
      size_ = static_cast<size_t>(value.as_range().count);
      return;
    case Kind::kMap: {
      std::vector<Value> keys;
      keys.reserve(value.as_map().entries().size());
      for (const auto& entry : value.as_map().entries()) keys.push_back(Value::string(entry.first));
      size_ = keys.size();
      source_ = Value::list(std::move(keys), budget);
      return;
    }
    case Kind::kString: {
      const Text& text = value.as_text();
      budget.allocate(count_code_points(text.view()) * kValueBytes);
      std::vector<Value> characters;
      for (size_t at = 0; at < text.size();) {
        const size_t length = std::max<size_t>(decode_utf8(text.view().substr(at)).length, 1);
        characters.push_back(Value::string(text.slice(at, length)));
        at += length;
      }
      size_ = characters.size();
      source_ = Value::list(std::move(characters), budget);
      return;
    }
    default:
      throw Failure("cannot iterate over " + std::string(kind_name(value)));
  }
}

Value Elements::at(size_t index) const {
  if (source_.is(Kind::kRange)) {
    const Range& range = source_.as_range();
    return Value::integer(Integer{range.start} + Integer{range.step} * static_cast<Integer>(index));
  }
  return source_.as_list().items[index];
}

size_t length_of(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return count_code_points(value.as_text().view());
    case Kind::kList:
      return value.as_list().items.size();
    case Kind::kRange:
      return static_cast<size_t>(value.as_range().count);
    case Kind::kMap:
      return value.as_map().entries().size();
    case Kind::kLoop:
      return value.as_loop()->items.size();
    default:
      throw Failure(std::string(kind_name(value)) + " has no length");
  }
}

}  // namespace gemma4::jinja
