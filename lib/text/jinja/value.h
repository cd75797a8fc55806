// The values that templates compute with. All are immutable but namespaces and the state of a
// running loop, which the interpreter owns for the whole rendering.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "lib/text/jinja/budget.h"
#include "lib/text/jinja/text.h"

namespace gemma4::jinja {

class Value;

/// Wide enough for every integer that JSON delivers, and for sums of them.
using Integer = __int128;

/// A name, key or attribute that is not there. `name` is for messages.
struct Undefined {
  std::string name;
};
struct None {};

struct List {
  std::vector<Value> items;
  bool tuple = false;
  int depth = 1;  // nesting of this value
};

struct Range {
  int64_t start = 0;
  int64_t step = 1;
  int64_t count = 0;
};

/// A dictionary, in order of insertion. Keys are strings.
class Map {
 public:
  const Value* find(std::string_view key) const;
  /// Adds an entry or replaces the value of an existing one.
  void set(const Text& key, Value value);
  const std::vector<std::pair<Text, Value>>& entries() const { return entries_; }
  int depth() const { return depth_; }

 private:
  std::vector<std::pair<Text, Value>> entries_;
  std::unordered_map<std::string, size_t> index_;  // only of large dictionaries
  int depth_ = 1;
};

struct Namespace;
struct LoopState;
struct MacroObject;

/// A method of a string or dictionary, not called yet.
struct Method {
  std::shared_ptr<const Value> receiver;
  std::string name;
};
/// A function of the engine, e.g. range.
struct Function {
  std::string name;
};

/// Kinds in the order of the alternatives of Value's variant.
enum class Kind {
  kUndefined,
  kNone,
  kBoolean,
  kInteger,
  kFloat,
  kString,
  kList,
  kRange,
  kMap,
  kNamespace,
  kLoop,
  kMacro,
  kMethod,
  kFunction,
};

class Value {
 public:
  using Data = std::variant<Undefined, None, bool, Integer, double, Text,
                            std::shared_ptr<const List>, Range, std::shared_ptr<const Map>,
                            std::shared_ptr<Namespace>, std::shared_ptr<LoopState>,
                            std::shared_ptr<const MacroObject>, Method, Function>;

  Value() = default;  // undefined
  Value(Data data) : data_(std::move(data)) {}

  static Value none() { return Value(Data(None{})); }
  static Value boolean(bool value) { return Value(Data(value)); }
  static Value integer(Integer value) { return Value(Data(value)); }
  static Value real(double value) { return Value(Data(value)); }
  static Value string(Text text) { return Value(Data(std::move(text))); }
  static Value string(std::string_view text, bool trusted) {
    return string(Text(std::string(text), trusted));
  }
  static Value undefined(std::string_view name) {
    return Value(Data(Undefined{std::string(name)}));
  }
  /// Throws Failure when the elements are nested too deeply; charges the budget for them.
  static Value list(std::vector<Value> items, Budget& budget, bool tuple = false);
  static Value map(Map entries, Budget& budget);

  Kind kind() const { return static_cast<Kind>(data_.index()); }
  bool is(Kind wanted) const { return kind() == wanted; }
  bool is_number() const { return is(Kind::kInteger) || is(Kind::kFloat) || is(Kind::kBoolean); }
  /// A boolean or an integer.
  bool is_integral() const { return is(Kind::kInteger) || is(Kind::kBoolean); }

  // The content; the kind must be the right one.
  bool as_boolean() const { return std::get<bool>(data_); }
  Integer as_integer() const {
    return is(Kind::kBoolean) ? as_boolean() : std::get<Integer>(data_);
  }
  double as_double() const {
    return is(Kind::kFloat) ? std::get<double>(data_) : static_cast<double>(as_integer());
  }
  const Text& as_text() const { return std::get<Text>(data_); }
  const List& as_list() const { return *std::get<std::shared_ptr<const List>>(data_); }
  const Range& as_range() const { return std::get<Range>(data_); }
  const Map& as_map() const { return *std::get<std::shared_ptr<const Map>>(data_); }
  Namespace& as_namespace() const { return *std::get<std::shared_ptr<Namespace>>(data_); }
  const std::shared_ptr<LoopState>& as_loop() const {
    return std::get<std::shared_ptr<LoopState>>(data_);
  }
  const std::shared_ptr<const MacroObject>& as_macro() const {
    return std::get<std::shared_ptr<const MacroObject>>(data_);
  }
  const Method& as_method() const { return std::get<Method>(data_); }
  const std::string& function_name() const { return std::get<Function>(data_).name; }
  const std::string& undefined_name() const { return std::get<Undefined>(data_).name; }

  const Data& data() const { return data_; }

 private:
  Data data_;
};

/// What namespace(...) returns: the only thing whose attributes a template can set.
struct Namespace {
  Map attributes;
};

/// Nesting of lists and dictionaries; 0 for anything else. Namespaces count as 0: the interpreter
/// keeps each of them until the rendering ends, so that no chain of them is destroyed at once.
int nesting(const Value& value);

/// "string", "list" ...: for messages.
std::string_view kind_name(const Value& value);

bool truth(const Value& value);

/// Python's ==, without errors: values of different kinds differ (numbers and booleans compare
/// by value).
bool equal(const Value& a, const Value& b, Budget& budget);
/// -1, 0 or 1. Throws Failure for values without an order.
int compare(const Value& a, const Value& b, Budget& budget);
/// Python's `in`. Throws Failure when the container is none.
bool contains(const Value& container, const Value& element, Budget& budget);

/// The elements that a loop over the value sees: of a list, of a range, the keys of a dictionary,
/// the characters of a string, none of an undefined value.
class Elements {
 public:
  /// Throws Failure for a value that cannot be iterated.
  Elements(const Value& value, Budget& budget);
  size_t size() const { return size_; }
  Value at(size_t index) const;

 private:
  Value source_;  // a list or a range
  size_t size_ = 0;
};
bool is_iterable(const Value& value);

/// Number of elements, as `length` counts. Throws Failure for a value without a length.
size_t length_of(const Value& value);

}  // namespace gemma4::jinja
