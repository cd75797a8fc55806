#include "lib/text/jinja/interpreter.h"

#include <algorithm>

#include "lib/text/jinja/print.h"

namespace gemma4::jinja {

void Scope::set(Symbol symbol, Value value) {
  for (auto& variable : variables) {
    if (variable.first == symbol) {
      variable.second = std::move(value);
      return;
    }
  }
  variables.emplace_back(symbol, std::move(value));
}

Interpreter::Interpreter(const Program& program, const Limits& limits)
    : program_(program), budget_(limits), scope_(std::make_shared<Scope>(nullptr)) {}

Interpreter::~Interpreter() {
  // Values first, then scopes from the innermost outwards: nothing is destroyed recursively.
  for (const auto& object : namespaces_) object->attributes = Map();
  for (const auto& scope : captured_scopes_) scope->variables.clear();
  while (!captured_scopes_.empty()) captured_scopes_.pop_back();
}

void Interpreter::define(std::string_view name, Value value) {
  const auto known = std::find(program_.symbols.begin(), program_.symbols.end(), name);
  // A name that the template never mentions is not needed.
  if (known == program_.symbols.end()) return;
  scope_->set(static_cast<Symbol>(known - program_.symbols.begin()), std::move(value));
}

Text Interpreter::run() { return capture(program_.body); }

Text Interpreter::capture(const Body& body) {
  Capture output(*this);
  execute(body);
  return output.take();
}

Interpreter::Flow Interpreter::execute(const Body& body) {
  for (const Statement& statement : body) {
    const Flow flow = execute(statement);
    if (flow != Flow::kNormal) return flow;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  const Depth depth(*this);
  line_ = statement.line;
  switch (statement.kind) {
    case Statement::Kind::kText:
      emit(Value::string(statement.text));
      break;
    case Statement::Kind::kPrint: {
      const Value value = evaluate(statement.exprs[0]);
      line_ = statement.line;
      emit(value);
      break;
    }
    case Statement::Kind::kIf:
      return execute_if(statement);
    case Statement::Kind::kFor:
      return execute_for(statement);
    case Statement::Kind::kSet:
      assign(statement.target, evaluate(statement.exprs[0]));
      break;
    case Statement::Kind::kSetBlock: {
      Text text;
      {
        const InScope inner(*this, std::make_shared<Scope>(scope_));
        text = capture(statement.bodies[0]);
      }
      assign(statement.target, filter_text(statement, std::move(text)));
      break;
    }
    case Statement::Kind::kMacro:
      scope_->set(statement.macro->symbol, make_macro(statement.macro));
      break;
    case Statement::Kind::kCallBlock:
      execute_call_block(statement);
      break;
    case Statement::Kind::kFilterBlock: {
      const InScope inner(*this, std::make_shared<Scope>(scope_));
      Text text = capture(statement.bodies[0]);
      emit(filter_text(statement, std::move(text)));
      break;
    }
    case Statement::Kind::kWith:
      return execute_with(statement);
    case Statement::Kind::kBreak:
      return Flow::kBreak;
    case Statement::Kind::kContinue:
      return Flow::kContinue;
  }
  return Flow::kNormal;
}

void Interpreter::emit(const Value& value) {
  print(value, *out_, budget_);
  if (out_->size() > budget_.limits().output_bytes) throw Failure("writes too much output");
}

Interpreter::Flow Interpreter::execute_if(const Statement& statement) {
  for (size_t i = 0; i < statement.exprs.size(); ++i) {
    if (truth(evaluate(statement.exprs[i]))) return execute(statement.bodies[i]);
  }
  const bool has_else = statement.bodies.size() > statement.exprs.size();
  return has_else ? execute(statement.bodies.back()) : Flow::kNormal;
}

// What the loop runs over: its expression, without the items that its condition refuses.
Value Interpreter::loop_source(const Statement& statement) {
  Value source = evaluate(statement.exprs[0]);
  line_ = statement.line;
  if (statement.exprs.size() == 1) return source;
  const Elements elements(source, budget_);
  std::vector<Value> kept;
  for (size_t i = 0; i < elements.size(); ++i) {
    const InScope inner(*this, std::make_shared<Scope>(scope_));
    assign(statement.target, elements.at(i));
    if (truth(evaluate(statement.exprs[1]))) kept.push_back(elements.at(i));
  }
  return Value::list(std::move(kept), budget_);
}

Interpreter::Flow Interpreter::execute_for(const Statement& statement) {
  const Value source = loop_source(statement);
  const auto loop = std::make_shared<LoopState>(Elements(source, budget_), nesting(source) + 1);
  const size_t size = loop->items.size();
  if (size == 0 && statement.bodies.size() > 1) {
    const InScope inner(*this, std::make_shared<Scope>(scope_));
    return execute(statement.bodies[1]);
  }
  const std::shared_ptr<Scope> outer = scope_;
  auto inner = std::make_shared<Scope>(outer);
  for (size_t i = 0; i < size; ++i) {
    budget_.step();
    loop->index0 = i;
    // Every round has variables of its own; a macro may have kept the last round's scope.
    if (inner.use_count() > 1) {
      inner = std::make_shared<Scope>(outer);
    } else {
      inner->variables.clear();
    }
    const InScope in_scope(*this, inner);
    inner->variables.emplace_back(kLoopSymbol, Value(Value::Data(loop)));
    line_ = statement.line;
    assign(statement.target, loop->items.at(i));
    if (execute(statement.bodies[0]) == Flow::kBreak) break;
  }
  return Flow::kNormal;
}

Interpreter::Flow Interpreter::execute_with(const Statement& statement) {
  auto inner = std::make_shared<Scope>(scope_);
  for (size_t i = 0; i < statement.targets.size(); ++i) {
    inner->set(statement.targets[i].symbols[0], evaluate(statement.exprs[i]));
  }
  const InScope in_scope(*this, std::move(inner));
  return execute(statement.bodies[0]);
}

Value Interpreter::filter_text(const Statement& statement, Text text) {
  if (statement.exprs.empty()) return Value::string(std::move(text));
  const InScope inner(*this, std::make_shared<Scope>(scope_));
  scope_->set(kBlockSymbol, Value::string(std::move(text)));
  return evaluate(statement.exprs[0]);
}

void Interpreter::assign(const Target& target, Value value) {
  if (!target.attribute.empty()) {
    for (const Scope* scope = scope_.get(); scope != nullptr; scope = scope->parent.get()) {
      for (const auto& variable : scope->variables) {
        if (variable.first != target.symbols[0]) continue;
        if (!variable.second.is(Kind::kNamespace)) {
          throw Failure("cannot set attributes of a " + std::string(kind_name(variable.second)));
        }
        variable.second.as_namespace().attributes.set(Text(target.attribute, true),
                                                      std::move(value));
        return;
      }
    }
    throw Failure("cannot set an attribute of something undefined");
  }
  if (!target.unpack) {
    scope_->set(target.symbols[0], std::move(value));
    return;
  }
  const Elements parts(value, budget_);
  if (parts.size() != target.symbols.size()) {
    throw Failure("cannot unpack " + std::to_string(parts.size()) + " values into " +
                  std::to_string(target.symbols.size()) + " names");
  }
  for (size_t i = 0; i < parts.size(); ++i) scope_->set(target.symbols[i], parts.at(i));
}

Value Interpreter::make_macro(const std::shared_ptr<const MacroDefinition>& definition) {
  budget_.allocate(sizeof(MacroObject) + sizeof(Scope));
  captured_scopes_.push_back(scope_);
  return Value(Value::Data(std::shared_ptr<const MacroObject>(
      std::make_shared<MacroObject>(MacroObject{definition, scope_}))));
}

void Interpreter::execute_call_block(const Statement& statement) {
  const Expr& expr = statement.exprs[0];
  Arguments arguments = evaluate_arguments(expr);
  arguments.named.emplace_back("caller", make_macro(statement.macro));
  emit(call(evaluate(expr.operands[0]), std::move(arguments)));
}

}  // namespace gemma4::jinja
