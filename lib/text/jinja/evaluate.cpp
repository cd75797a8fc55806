// Expressions of the interpreter.
#include <algorithm>

#include "lib/text/jinja/arithmetic.h"
#include "lib/text/jinja/interpreter.h"
#include "lib/text/jinja/print.h"

namespace gemma4::jinja {
namespace {

constexpr std::string_view kFunctions[] = {"range", "namespace", "dict", "raise_exception"};

}  // namespace

Value Interpreter::look_up(const Expr& name) {
  for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
    budget_.step();
    for (const auto& variable : scope->variables) {
      if (variable.first == name.symbol) return variable.second;
    }
  }
  for (const std::string_view function : kFunctions) {
    if (name.name == function) return Value(Value::Data(Function{name.name}));
  }
  return Value::undefined(name.name);
}

Value Interpreter::evaluate(const Expr& expr) {
  const Depth depth(*this);
  switch (expr.kind) {
    case Expr::Kind::kLiteral:
      return expr.literal;
    case Expr::Kind::kName:
      return look_up(expr);
    case Expr::Kind::kList:
    case Expr::Kind::kTuple:
      return evaluate_list(expr);
    case Expr::Kind::kDictionary:
      return evaluate_dictionary(expr);
    case Expr::Kind::kNot:
      return Value::boolean(!truth(evaluate(expr.operands[0])));
    case Expr::Kind::kNegate:
      return negate(evaluate(expr.operands[0]));
    case Expr::Kind::kPlus:
      return negate(negate(evaluate(expr.operands[0])));
    case Expr::Kind::kArithmetic: {
      const Value left = evaluate(expr.operands[0]);
      const Value right = evaluate(expr.operands[1]);
      line_ = expr.line;
      return arithmetic(expr.name, left, right, budget_);
    }
    case Expr::Kind::kConcatenate:
      return evaluate_concatenation(expr);
    case Expr::Kind::kCompare:
      return evaluate_comparison(expr);
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr: {
      Value left = evaluate(expr.operands[0]);
      const bool decided = truth(left) == (expr.kind == Expr::Kind::kOr);
      return decided ? left : evaluate(expr.operands[1]);
    }
    case Expr::Kind::kConditional:
      if (truth(evaluate(expr.operands[1]))) return evaluate(expr.operands[0]);
      if (expr.operands.size() == 3) return evaluate(expr.operands[2]);
      return Value::undefined("the value of an inline if without else");
    case Expr::Kind::kAttribute: {
      const Value receiver = evaluate(expr.operands[0]);
      line_ = expr.line;
      return get_attribute(receiver, expr.name);
    }
    case Expr::Kind::kSubscript: {
      const Value receiver = evaluate(expr.operands[0]);
      const Value key = evaluate(expr.operands[1]);
      line_ = expr.line;
      // Counting to a character takes time with the length of the string.
      if (receiver.is(Kind::kString)) budget_.step(receiver.as_text().size() / 64);
      return get_item(receiver, key);
    }
    case Expr::Kind::kSlice: {
      const Value receiver = evaluate(expr.operands[0]);
      const Value begin = evaluate(expr.operands[1]);
      const Value end = evaluate(expr.operands[2]);
      const Value step = evaluate(expr.operands[3]);
      line_ = expr.line;
      return get_slice(receiver, begin, end, step, budget_);
    }
    case Expr::Kind::kCall:
      return evaluate_call(expr);
    case Expr::Kind::kFilter: {
      const Value input = evaluate(expr.operands[0]);
      const Arguments arguments = evaluate_arguments(expr);
      line_ = expr.line;
      return expr.filter(input, arguments, budget_);
    }
    case Expr::Kind::kTest: {
      const Value input = evaluate(expr.operands[0]);
      const Arguments arguments = evaluate_arguments(expr);
      line_ = expr.line;
      return Value::boolean(expr.test(input, arguments, budget_));
    }
  }
  return Value();
}

Value Interpreter::evaluate_list(const Expr& expr) {
  std::vector<Value> items;
  items.reserve(expr.operands.size());
  for (const Expr& operand : expr.operands) items.push_back(evaluate(operand));
  return Value::list(std::move(items), budget_, expr.kind == Expr::Kind::kTuple);
}

Value Interpreter::evaluate_dictionary(const Expr& expr) {
  Map map;
  for (size_t i = 0; i + 1 < expr.operands.size(); i += 2) {
    const Value key = evaluate(expr.operands[i]);
    if (!key.is(Kind::kString)) {
      line_ = expr.line;
      throw Failure("keys of dictionaries must be strings, not " + std::string(kind_name(key)));
    }
    map.set(key.as_text(), evaluate(expr.operands[i + 1]));
  }
  return Value::map(std::move(map), budget_);
}

Value Interpreter::evaluate_concatenation(const Expr& expr) {
  Text text = to_text(evaluate(expr.operands[0]), budget_);
  for (size_t i = 1; i < expr.operands.size(); ++i) {
    size_t copied = 0;
    text = Text::concatenate(text, to_text(evaluate(expr.operands[i]), budget_), copied);
    budget_.allocate(copied);
  }
  return Value::string(std::move(text));
}

Value Interpreter::evaluate_comparison(const Expr& expr) {
  Value left = evaluate(expr.operands[0]);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = evaluate(expr.operands[i + 1]);
    line_ = expr.line;
    if (!compare_with(expr.operators[i], left, right)) return Value::boolean(false);
    left = std::move(right);
  }
  return Value::boolean(true);
}

bool Interpreter::compare_with(const std::string& op, const Value& left, const Value& right) {
  if (op == "==") return equal(left, right, budget_);
  if (op == "!=") return !equal(left, right, budget_);
  if (op == "in") return contains(right, left, budget_);
  if (op == "not in") return !contains(right, left, budget_);
  const int order = compare(left, right, budget_);
  if (op == "<") return order < 0;
  if (op == "<=") return order <= 0;
  if (op == ">") return order > 0;
  return order >= 0;
}

Arguments Interpreter::evaluate_arguments(const Expr& expr) {
  Arguments arguments;
  arguments.positional.reserve(expr.operands.size() - 1);
  for (size_t i = 1; i < expr.operands.size(); ++i) {
    arguments.positional.push_back(evaluate(expr.operands[i]));
  }
  for (const NamedExpr& argument : expr.named) {
    arguments.named.emplace_back(argument.name, evaluate(argument.value));
  }
  return arguments;
}

Value Interpreter::evaluate_call(const Expr& expr) {
  const Expr& target = expr.operands[0];
  if (target.kind == Expr::Kind::kAttribute) {
    const Value receiver = evaluate(target.operands[0]);
    if (has_method(receiver, target.name)) {
      const Arguments arguments = evaluate_arguments(expr);
      line_ = expr.line;
      return call_method(receiver, target.name, arguments, budget_);
    }
    line_ = target.line;
    const Value callee = get_attribute(receiver, target.name);
    if (callee.is(Kind::kUndefined)) {
      throw Failure(std::string(kind_name(receiver)) + " has no method '" + target.name + "'");
    }
    return call(callee, evaluate_arguments(expr));
  }
  const Value callee = evaluate(target);
  if (callee.is(Kind::kUndefined)) {
    line_ = expr.line;
    throw Failure("unknown function '" + callee.undefined_name() + "'");
  }
  Arguments arguments = evaluate_arguments(expr);
  line_ = expr.line;
  return call(callee, std::move(arguments));
}

}  // namespace gemma4::jinja
