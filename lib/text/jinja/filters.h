// The filters, tests and methods of the template language.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

/// The arguments of a call, as written.
struct Arguments {
  std::vector<Value> positional;
  std::vector<std::pair<std::string, Value>> named;
};

/// Reads the arguments of one call in the order of its parameters.
class ArgumentReader {
 public:
  /// `what`: the callee, for messages.
  ArgumentReader(std::string_view what, const Arguments& arguments)
      : what_(what), arguments_(arguments) {}

  /// The next parameter: the next positional argument, else the one named `name`, else the
  /// default. Throws Failure when both are given.
  Value take(std::string_view name, Value fallback);
  /// The same without a default.
  Value require(std::string_view name);
  /// Throws Failure when arguments are left over.
  void finish() const;

 private:
  const Value* find(std::string_view name);

  std::string what_;
  const Arguments& arguments_;
  size_t position_ = 0;
  size_t named_used_ = 0;
};

using FilterFunction = Value (*)(const Value& input, const Arguments& arguments, Budget& budget);
using TestFunction = bool (*)(const Value& input, const Arguments& arguments, Budget& budget);

/// Null when there is none of that name.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);

/// True when values of that kind have a method of that name (strings and dictionaries, and
/// loop.cycle).
bool has_method(const Value& receiver, std::string_view name);
Value call_method(const Value& receiver, std::string_view name, const Arguments& arguments,
                  Budget& budget);

/// An item or attribute: receiver[key], as filters with `attribute=` look it up. Undefined when
/// there is none; throws Failure when the receiver itself is undefined.
Value get_item(const Value& receiver, const Value& key);
/// receiver.name
Value get_attribute(const Value& receiver, std::string_view name);
/// receiver[begin:end:step]; none for what is not given.
Value get_slice(const Value& receiver, const Value& begin, const Value& end, const Value& step,
                Budget& budget);

}  // namespace gemma4::jinja
