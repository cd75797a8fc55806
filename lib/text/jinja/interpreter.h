// Runs a compiled template once.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lib/text/jinja/ast.h"
#include "lib/text/jinja/budget.h"
#include "lib/text/jinja/loop.h"

namespace gemma4::jinja {

/// Variables by symbol; what is not here is looked up in the scope around it.
struct Scope {
  explicit Scope(std::shared_ptr<Scope> around) : parent(std::move(around)) {}

  std::shared_ptr<Scope> parent;
  std::vector<std::pair<Symbol, Value>> variables;

  void set(Symbol symbol, Value value);
};

/// A macro as a value: its definition and the scope that its names refer to.
struct MacroObject {
  std::shared_ptr<const MacroDefinition> definition;
  std::shared_ptr<Scope> closure;
};

class Interpreter {
 public:
  Interpreter(const Program& program, const Limits& limits);
  ~Interpreter();
  Interpreter(const Interpreter&) = delete;
  Interpreter& operator=(const Interpreter&) = delete;

  void define(std::string_view name, Value value);
  /// The output. Throws Failure.
  Text run();
  /// The line that ran last: where a Failure happened.
  int line() const { return line_; }
  Budget& budget() { return budget_; }

 private:
  enum class Flow { kNormal, kBreak, kContinue };
  class Depth;
  class InScope;
  class Capture;

  // Statements (interpreter.cpp).
  Flow execute(const Body& body);
  Flow execute(const Statement& statement);
  Flow execute_if(const Statement& statement);
  Flow execute_for(const Statement& statement);
  Flow execute_with(const Statement& statement);
  void execute_call_block(const Statement& statement);
  Text capture(const Body& body);
  Value filter_text(const Statement& statement, Text text);
  Value loop_source(const Statement& statement);
  void assign(const Target& target, Value value);
  void emit(const Value& value);
  Value make_macro(const std::shared_ptr<const MacroDefinition>& definition);

  // Expressions (evaluate.cpp).
  Value evaluate(const Expr& expr);
  Value evaluate_list(const Expr& expr);
  Value evaluate_dictionary(const Expr& expr);
  Value evaluate_concatenation(const Expr& expr);
  Value evaluate_comparison(const Expr& expr);
  Value evaluate_call(const Expr& expr);
  bool compare_with(const std::string& op, const Value& left, const Value& right);
  Arguments evaluate_arguments(const Expr& expr);
  Value look_up(const Expr& name);

  // Calls (call.cpp).
  Value call(const Value& callee, Arguments arguments);
  Value call_macro(const MacroObject& macro, Arguments arguments);
  void bind_parameters(const MacroDefinition& macro, Arguments& arguments);
  Value call_function(const std::string& name, const Arguments& arguments);
  Value make_namespace(const Arguments& arguments);

  const Program& program_;
  Budget budget_;
  std::shared_ptr<Scope> scope_;
  TextBuilder* out_ = nullptr;
  int depth_ = 0;
  int line_ = 0;
  // Kept until the end, so that cycles and long chains through them are taken apart here.
  std::vector<std::shared_ptr<Scope>> captured_scopes_;
  std::vector<std::shared_ptr<Namespace>> namespaces_;
};

/// Counts one level of nested evaluation while it lives.
class Interpreter::Depth {
 public:
  explicit Depth(Interpreter& interpreter) : depth_(interpreter.depth_) {
    if (depth_ >= interpreter.budget_.limits().call_depth) throw Failure("calls nest too deeply");
    ++depth_;
    interpreter.budget_.step();
  }
  ~Depth() { --depth_; }
  Depth(const Depth&) = delete;
  Depth& operator=(const Depth&) = delete;

 private:
  int& depth_;
};

/// Makes another scope the current one while it lives.
class Interpreter::InScope {
 public:
  InScope(Interpreter& interpreter, std::shared_ptr<Scope> scope)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.scope_, std::move(scope))) {}
  ~InScope() { interpreter_.scope_ = std::move(outer_); }
  InScope(const InScope&) = delete;
  InScope& operator=(const InScope&) = delete;

 private:
  Interpreter& interpreter_;
  std::shared_ptr<Scope> outer_;
};

/// Collects the output while it lives.
class Interpreter::Capture {
 public:
  explicit Capture(Interpreter& interpreter)
      : interpreter_(interpreter), outer_(std::exchange(interpreter.out_, &builder_)) {}
  ~Capture() { interpreter_.out_ = outer_; }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;
  Text take() { return builder_.take(); }

 private:
  Interpreter& interpreter_;
  TextBuilder builder_;
  TextBuilder* outer_;
};

}  // namespace gemma4::jinja
