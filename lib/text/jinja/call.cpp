// Calls of the interpreter: macros, methods and the engine's functions.
#include "lib/text/jinja/interpreter.h"
#include "lib/text/jinja/print.h"

namespace gemma4::jinja {
namespace {

constexpr int64_t kLongestRange = 1'000'000;

int64_t range_bound(const Value& value) {
  if (!value.is_integral()) {
    throw Failure("range needs integers, not " + std::string(kind_name(value)));
  }
  const Integer number = value.as_integer();
  if (number > INT32_MAX || number < INT32_MIN) throw Failure("number out of range");
  return static_cast<int64_t>(number);
}

Value make_range(const Arguments& arguments) {
  ArgumentReader reader("range", arguments);
  const int64_t first = range_bound(reader.require("start"));
  const Value second = reader.take("stop", Value::none());
  const int64_t step = range_bound(reader.take("step", Value::integer(1)));
  reader.finish();
  const int64_t start = second.is(Kind::kNone) ? 0 : first;
  const int64_t stop = second.is(Kind::kNone) ? first : range_bound(second);
  if (step == 0) throw Failure("range needs a step other than 0");
  int64_t count = 0;
  if (step > 0 && stop > start) count = (stop - start + step - 1) / step;
  if (step < 0 && stop < start) count = (start - stop - step - 1) / -step;
  if (count > kLongestRange) throw Failure("range is too long");
  return Value(Value::Data(Range{start, step, count}));
}

Value make_dictionary(const Arguments& arguments, Budget& budget) {
  if (arguments.positional.size() > 1) throw Failure("dict takes one dictionary and named values");
  Map map;
  if (!arguments.positional.empty()) {
    if (!arguments.positional[0].is(Kind::kMap)) throw Failure("dict needs a dictionary");
    map = arguments.positional[0].as_map();
  }
  for (const auto& [name, value] : arguments.named) map.set(Text(name, true), value);
  return Value::map(std::move(map), budget);
}

[[noreturn]] void raise_exception(const Arguments& arguments, Budget& budget) {
  ArgumentReader reader("raise_exception", arguments);
  const Value message = reader.require("message");
  reader.finish();
  throw Failure(std::string(to_text(message, budget).view()), true);
}

}  // namespace

Value Interpreter::call(const Value& callee, Arguments arguments) {
  const Depth depth(*this);
  switch (callee.kind()) {
    case Kind::kMacro:
      return call_macro(*callee.as_macro(), std::move(arguments));
    case Kind::kMethod:
      return call_method(*callee.as_method().receiver, callee.as_method().name, arguments, budget_);
    case Kind::kFunction:
      return call_function(callee.function_name(), arguments);
    case Kind::kUndefined:
      throw Failure("unknown function '" + callee.undefined_name() + "'");
    default:
      throw Failure("cannot call a " + std::string(kind_name(callee)));
  }
}

Value Interpreter::call_function(const std::string& name, const Arguments& arguments) {
  if (name == "range") return make_range(arguments);
  if (name == "namespace") return make_namespace(arguments);
  if (name == "dict") return make_dictionary(arguments, budget_);
  raise_exception(arguments, budget_);
}

Value Interpreter::make_namespace(const Arguments& arguments) {
  const Value attributes = make_dictionary(arguments, budget_);
  budget_.allocate(sizeof(Namespace));
  auto object = std::make_shared<Namespace>();
  object->attributes = attributes.as_map();
  namespaces_.push_back(object);
  return Value(Value::Data(std::move(object)));
}

Value Interpreter::call_macro(const MacroObject& macro, Arguments arguments) {
  const InScope inner(*this, std::make_shared<Scope>(macro.closure));
  bind_parameters(*macro.definition, arguments);
  return Value::string(capture(macro.definition->body));
}

// Gives the parameters their values in the current scope, which is the macro's.
void Interpreter::bind_parameters(const MacroDefinition& macro, Arguments& arguments) {
  std::vector<bool> used(arguments.named.size(), false);
  const auto take_named = [&](std::string_view name, Value& value) {
    for (size_t i = 0; i < arguments.named.size(); ++i) {
      if (arguments.named[i].first != name) continue;
      used[i] = true;
      value = arguments.named[i].second;
      return true;
    }
    return false;
  };
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const MacroDefinition::Parameter& parameter = macro.parameters[i];
    Value value = Value::undefined(parameter.name);
    const bool is_named = take_named(parameter.name, value);
    if (i < arguments.positional.size()) {
      if (is_named) {
        throw Failure("macro '" + macro.name + "' got '" + parameter.name + "' twice");
      }
      value = arguments.positional[i];
    } else if (!is_named && parameter.fallback) {
      value = evaluate(*parameter.fallback);
    }
    scope_->set(parameter.symbol, std::move(value));
  }
  std::vector<Value> more;
  for (size_t i = macro.parameters.size(); i < arguments.positional.size(); ++i) {
    more.push_back(arguments.positional[i]);
  }
  if (!more.empty() && !macro.uses_varargs) {
    throw Failure("macro '" + macro.name + "' takes at most " +
                  std::to_string(macro.parameters.size()) + " arguments");
  }
  if (macro.uses_varargs) scope_->set(kVarargsSymbol, Value::list(std::move(more), budget_, true));
  if (macro.uses_caller) {
    Value caller = Value::undefined("caller");
    take_named("caller", caller);
    scope_->set(kCallerSymbol, std::move(caller));
  }
  Map rest;
  for (size_t i = 0; i < arguments.named.size(); ++i) {
    if (used[i]) continue;
    const std::string& name = arguments.named[i].first;
    if (!macro.uses_kwargs) {
      throw Failure("macro '" + macro.name + "' has no parameter '" + name + "'");
    }
    rest.set(Text(name, true), arguments.named[i].second);
  }
  if (macro.uses_kwargs) scope_->set(kKwargsSymbol, Value::map(std::move(rest), budget_));
}

}  // namespace gemma4::jinja
