// Items, attributes and slices of values, and the arguments of calls.
#include <algorithm>
#include <array>

#include "lib/base/utf8.h"
#include "lib/text/jinja/filters.h"
#include "lib/text/jinja/interpreter.h"
#include "lib/text/jinja/loop.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

// Position `index` of `size` elements, counted from the end when negative; size when outside.
size_t position_of(Integer index, size_t size) {
  if (index < 0) index += static_cast<Integer>(size);
  return index < 0 || index >= static_cast<Integer>(size) ? size : static_cast<size_t>(index);
}

// Byte position of character number `index`.
size_t byte_position(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    at += std::max<size_t>(decode_utf8(text.substr(at)).length, 1);
  }
  return at;
}

Value item_at(const Value& receiver, Integer index) {
  const size_t size = length_of(receiver);
  const size_t position = position_of(index, size);
  if (position == size)
    return Value::undefined("item " + std::to_string(static_cast<int64_t>(index)));
  if (receiver.is(Kind::kList)) return receiver.as_list().items[position];
  if (receiver.is(Kind::kRange)) {
    const Range& range = receiver.as_range();
    return Value::integer(Integer{range.start} +
                          Integer{range.step} * static_cast<Integer>(position));
  }
  const Text& text = receiver.as_text();
  const size_t at = byte_position(text.view(), position);
  return Value::string(text.slice(at, decode_utf8(text.view().substr(at)).length));
}

Value method_of(const Value& receiver, std::string_view name) {
  return Value(Value::Data(Method{std::make_shared<const Value>(receiver), std::string(name)}));
}

[[noreturn]] void refuse_undefined(const Value& receiver) {
  throw Failure("'" + receiver.undefined_name() + "' is undefined");
}

struct SliceBounds {
  Integer begin;
  Integer end;
  Integer step;
};

Integer bound(const Value& value, Integer fallback, Integer lowest, Integer highest, size_t size) {
  if (value.is(Kind::kNone)) return fallback;
  if (!value.is_integral()) {
    throw Failure("slices need integers, not " + std::string(kind_name(value)));
  }
  Integer position = value.as_integer();
  if (position < 0) position += static_cast<Integer>(size);
  return std::clamp(position, lowest, highest);
}

// As Python's slice.indices.
SliceBounds slice_bounds(const Value& begin, const Value& end, const Value& step, size_t size) {
  Integer stride = 1;
  if (!step.is(Kind::kNone)) {
    if (!step.is_integral()) {
      throw Failure("slices need integers, not " + std::string(kind_name(step)));
    }
    // A longer stride than any length does the same.
    stride = std::clamp<Integer>(step.as_integer(), INT64_MIN, INT64_MAX);
  }
  if (stride == 0) throw Failure("a slice needs a step other than 0");
  const auto length = static_cast<Integer>(size);
  if (stride > 0) {
    return {bound(begin, 0, 0, length, size), bound(end, length, 0, length, size), stride};
  }
  return {bound(begin, length - 1, -1, length - 1, size), bound(end, -1, -1, length - 1, size),
          stride};
}

Value slice_text(const Text& text, const SliceBounds& bounds, size_t size, Budget& budget) {
  budget.step(text.size() / 16);
  if (bounds.step == 1) {
    if (bounds.begin >= bounds.end) return Value::string(Text());
    const size_t from = byte_position(text.view(), static_cast<size_t>(bounds.begin));
    const size_t count =
        byte_position(text.view().substr(from), static_cast<size_t>(bounds.end - bounds.begin));
    return Value::string(text.slice(from, count));
  }
  budget.allocate(size * sizeof(size_t));
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size();
       at += std::max<size_t>(decode_utf8(text.view().substr(at)).length, 1)) {
    starts.push_back(at);
  }
  starts.push_back(text.size());
  TextBuilder out;
  for (Integer i = bounds.begin; bounds.step > 0 ? i < bounds.end : i > bounds.end;
       i += bounds.step) {
    budget.allocate(4);
    const auto position = static_cast<size_t>(i);
    out.append(text.slice(starts[position], starts[position + 1] - starts[position]));
  }
  return Value::string(out.take());
}

}  // namespace

Value get_item(const Value& receiver, const Value& key) {
  if (receiver.is(Kind::kUndefined)) refuse_undefined(receiver);
  const bool is_sequence =
      receiver.is(Kind::kList) || receiver.is(Kind::kString) || receiver.is(Kind::kRange);
  if (is_sequence && key.is_integral()) return item_at(receiver, key.as_integer());
  if (!key.is(Kind::kString)) return Value::undefined(kind_name(key));
  const std::string_view name = key.as_text().view();
  if (receiver.is(Kind::kMap)) {
    if (const Value* found = receiver.as_map().find(name)) return *found;
    return has_method(receiver, name) ? method_of(receiver, name) : Value::undefined(name);
  }
  return get_attribute(receiver, name);
}

Value get_attribute(const Value& receiver, std::string_view name) {
  if (receiver.is(Kind::kUndefined)) refuse_undefined(receiver);
  if (has_method(receiver, name)) return method_of(receiver, name);
  const Map* map = nullptr;
  if (receiver.is(Kind::kMap)) map = &receiver.as_map();
  if (receiver.is(Kind::kNamespace)) map = &receiver.as_namespace().attributes;
  if (map != nullptr) {
    const Value* found = map->find(name);
    return found != nullptr ? *found : Value::undefined(name);
  }
  if (receiver.is(Kind::kLoop)) return loop_attribute(*receiver.as_loop(), name);
  if (receiver.is(Kind::kMacro) && name == "name") {
    return Value::string(receiver.as_macro()->definition->name, true);
  }
  return Value::undefined(name);
}

Value get_slice(const Value& receiver, const Value& begin, const Value& end, const Value& step,
                Budget& budget) {
  if (receiver.is(Kind::kUndefined)) refuse_undefined(receiver);
  if (!receiver.is(Kind::kString) && !receiver.is(Kind::kList) && !receiver.is(Kind::kRange)) {
    throw Failure("cannot slice a " + std::string(kind_name(receiver)));
  }
  const size_t size = length_of(receiver);
  const SliceBounds bounds = slice_bounds(begin, end, step, size);
  if (receiver.is(Kind::kString)) return slice_text(receiver.as_text(), bounds, size, budget);
  const Elements elements(receiver, budget);
  std::vector<Value> items;
  for (Integer i = bounds.begin; bounds.step > 0 ? i < bounds.end : i > bounds.end;
       i += bounds.step) {
    budget.step();
    items.push_back(elements.at(static_cast<size_t>(i)));
  }
  const bool tuple = receiver.is(Kind::kList) && receiver.as_list().tuple;
  return Value::list(std::move(items), budget, tuple);
}

const Value* ArgumentReader::find(std::string_view name) {
  const Value* found = nullptr;
  for (const auto& [key, value] : arguments_.named) {
    if (key == name) found = &value;
  }
  if (found != nullptr) ++named_used_;
  if (position_ >= arguments_.positional.size()) return found;
  if (found != nullptr) throw Failure(what_ + " got '" + std::string(name) + "' twice");
  return &arguments_.positional[position_++];
}

Value ArgumentReader::take(std::string_view name, Value fallback) {
  const Value* given = find(name);
  return given != nullptr ? *given : fallback;
}

Value ArgumentReader::require(std::string_view name) {
  const Value* given = find(name);
  if (given == nullptr) throw Failure(what_ + " needs the argument '" + std::string(name) + "'");
  return *given;
}

void ArgumentReader::finish() const {
  if (position_ < arguments_.positional.size()) throw Failure(what_ + " got too many arguments");
  if (named_used_ < arguments_.named.size()) {
    throw Failure(what_ + " does not know an argument that it got, or got it twice: '" +
                  arguments_.named.back().first + "'");
  }
}

}  // namespace gemma4::jinja
