#include "lib/text/jinja/expression_parser.h"

#include <algorithm>
#include <utility>

namespace gemma4::jinja {
namespace {

std::string describe(const Token& token) {
  switch (token.kind) {
    case Token::Kind::kText:
    case Token::Kind::kEnd:
      return "the end of the template";
    case Token::Kind::kPrintEnd:
    case Token::Kind::kBlockEnd:
      return "the end of the tag";
    case Token::Kind::kString:
      return "a string";
    case Token::Kind::kInteger:
    case Token::Kind::kFloat:
      return "a number";
    default:
      return "'" + token.text + "'";
  }
}

}  // namespace

ExpressionParser::Nesting::Nesting(ExpressionParser& parser) : parser_(parser) {
  if (++parser_.depth_ > parser_.limits_.parse_depth) {
    --parser_.depth_;
    parser_.fail("nested too deeply");
  }
}

ExpressionParser::ExpressionParser(std::vector<Token> tokens, const Limits& limits)
    : tokens_(std::move(tokens)), limits_(limits) {
  // In the order of KnownSymbol; the last one is not a name that a template can write.
  for (const char* name : {"loop", "varargs", "kwargs", "caller", " block"}) symbol(name);
}

Token ExpressionParser::next() {
  Token token = tokens_[at_];
  if (token.kind != Token::Kind::kEnd) ++at_;
  return token;
}

bool ExpressionParser::is_operator(std::string_view text) const {
  return current().kind == Token::Kind::kOperator && current().text == text;
}
bool ExpressionParser::is_name(std::string_view text) const {
  return current().kind == Token::Kind::kName && current().text == text;
}
bool ExpressionParser::is_end_of_tag() const {
  return current().kind == Token::Kind::kBlockEnd || current().kind == Token::Kind::kPrintEnd ||
         current().kind == Token::Kind::kEnd;
}
bool ExpressionParser::skip_operator(std::string_view text) {
  if (!is_operator(text)) return false;
  next();
  return true;
}
bool ExpressionParser::skip_name(std::string_view text) {
  if (!is_name(text)) return false;
  next();
  return true;
}
void ExpressionParser::expect_operator(std::string_view text) {
  if (!skip_operator(text)) {
    fail("expected '" + std::string(text) + "', found " + describe(current()));
  }
}
std::string ExpressionParser::expect_name() {
  if (current().kind != Token::Kind::kName) fail("expected a name, found " + describe(current()));
  return next().text;
}
void ExpressionParser::expect(Token::Kind kind, std::string_view description) {
  if (current().kind != kind) {
    fail("expected " + std::string(description) + ", found " + describe(current()));
  }
  next();
}
void ExpressionParser::fail(const std::string& message) const {
  throw SyntaxFailure(message, current().line);
}

Symbol ExpressionParser::symbol(const std::string& name) {
  const auto [entry, is_new] = symbols_.emplace(name, static_cast<Symbol>(symbol_names_.size()));
  if (is_new) symbol_names_.push_back(name);
  return entry->second;
}

void ExpressionParser::check_depth(Expr& expr) const {
  for (const Expr& operand : expr.operands) expr.depth = std::max(expr.depth, operand.depth + 1);
  for (const NamedExpr& argument : expr.named) {
    expr.depth = std::max(expr.depth, argument.value.depth + 1);
  }
  if (expr.depth > limits_.expression_depth) fail("expression is too long");
}

Expr ExpressionParser::make(Expr::Kind kind, std::vector<Expr> operands, int line) const {
  Expr expr;
  expr.kind = kind;
  expr.line = line;
  expr.operands = std::move(operands);
  check_depth(expr);
  return expr;
}

Expr ExpressionParser::literal(Value value, int line) const {
  Expr expr;
  expr.line = line;
  expr.literal = std::move(value);
  return expr;
}

namespace {

// A vector of moved expressions: initializer lists would copy them.
template <typename... Exprs>
std::vector<Expr> operands_of(Exprs&&... exprs) {
  std::vector<Expr> operands;
  operands.reserve(sizeof...(exprs));
  (operands.push_back(std::forward<Exprs>(exprs)), ...);
  return operands;
}

}  // namespace

Expr ExpressionParser::parse_expression(bool allow_condition) {
  const Nesting nesting(*this);
  Expr expr = parse_or();
  if (!allow_condition) return expr;
  while (is_name("if")) {
    const int line = next().line;
    Expr condition = parse_or();
    std::vector<Expr> operands = operands_of(std::move(expr), std::move(condition));
    if (skip_name("else")) operands.push_back(parse_expression());
    expr = make(Expr::Kind::kConditional, std::move(operands), line);
  }
  return expr;
}

Expr ExpressionParser::parse_tuple(bool allow_condition) {
  const int line = current().line;
  Expr first = parse_expression(allow_condition);
  if (!is_operator(",")) return first;
  std::vector<Expr> operands = operands_of(std::move(first));
  while (skip_operator(",")) {
    if (is_end_of_tag() || is_operator(")") || is_operator("=") || is_name("in")) break;
    operands.push_back(parse_expression(allow_condition));
  }
  return make(Expr::Kind::kTuple, std::move(operands), line);
}

Expr ExpressionParser::parse_or() {
  Expr left = parse_and();
  while (is_name("or")) {
    const int line = next().line;
    left = make(Expr::Kind::kOr, operands_of(std::move(left), parse_and()), line);
  }
  return left;
}

Expr ExpressionParser::parse_and() {
  Expr left = parse_not();
  while (is_name("and")) {
    const int line = next().line;
    left = make(Expr::Kind::kAnd, operands_of(std::move(left), parse_not()), line);
  }
  return left;
}

Expr ExpressionParser::parse_not() {
  if (!is_name("not")) return parse_compare();
  const Nesting nesting(*this);
  const int line = next().line;
  return make(Expr::Kind::kNot, operands_of(parse_not()), line);
}

// Empty when no comparison follows.
std::string ExpressionParser::comparison_operator() {
  for (const std::string_view op : {"==", "!=", "<=", ">=", "<", ">"}) {
    if (skip_operator(op)) return std::string(op);
  }
  if (skip_name("in")) return "in";
  const Token& following = tokens_[std::min(at_ + 1, tokens_.size() - 1)];
  if (is_name("not") && following.kind == Token::Kind::kName && following.text == "in") {
    next();
    next();
    return "not in";
  }
  return "";
}

Expr ExpressionParser::parse_compare() {
  const int line = current().line;
  Expr first = parse_sum();
  std::vector<std::string> operators;
  std::vector<Expr> operands;
  while (true) {
    std::string op = comparison_operator();
    if (op.empty()) break;
    if (operands.empty()) operands.push_back(std::move(first));
    operators.push_back(std::move(op));
    operands.push_back(parse_sum());
  }
  if (operands.empty()) return first;
  Expr expr = make(Expr::Kind::kCompare, std::move(operands), line);
  expr.operators = std::move(operators);
  return expr;
}

Expr ExpressionParser::parse_sum() {
  Expr left = parse_concatenation();
  while (is_operator("+") || is_operator("-")) {
    const Token op = next();
    left =
        make(Expr::Kind::kArithmetic, operands_of(std::move(left), parse_concatenation()), op.line);
    left.name = op.text;
  }
  return left;
}

Expr ExpressionParser::parse_concatenation() {
  Expr first = parse_product();
  if (!is_operator("~")) return first;
  const int line = current().line;
  std::vector<Expr> operands = operands_of(std::move(first));
  while (skip_operator("~")) operands.push_back(parse_product());
  return make(Expr::Kind::kConcatenate, std::move(operands), line);
}

Expr ExpressionParser::parse_product() {
  Expr left = parse_power();
  while (is_operator("*") || is_operator("/") || is_operator("//") || is_operator("%")) {
    const Token op = next();
    left = make(Expr::Kind::kArithmetic, operands_of(std::move(left), parse_power()), op.line);
    left.name = op.text;
  }
  return left;
}

Expr ExpressionParser::parse_power() {
  Expr left = parse_unary();
  while (is_operator("**")) {
    const Token op = next();
    left = make(Expr::Kind::kArithmetic, operands_of(std::move(left), parse_unary()), op.line);
    left.name = op.text;
  }
  return left;
}

Expr ExpressionParser::parse_unary(bool with_filters) {
  Expr expr;
  if (is_operator("-") || is_operator("+")) {
    const Nesting nesting(*this);
    const Token op = next();
    expr = make(op.text == "-" ? Expr::Kind::kNegate : Expr::Kind::kPlus,
                operands_of(parse_unary(false)), op.line);
  } else {
    expr = parse_primary();
  }
  expr = parse_postfix(std::move(expr));
  return with_filters ? parse_filters_and_tests(std::move(expr)) : std::move(expr);
}

Expr ExpressionParser::parse_name_or_constant() {
  const Token token = next();
  const std::string& name = token.text;
  if (name == "true" || name == "True") return literal(Value::boolean(true), token.line);
  if (name == "false" || name == "False") return literal(Value::boolean(false), token.line);
  if (name == "none" || name == "None") return literal(Value::none(), token.line);
  Expr expr = make(Expr::Kind::kName, {}, token.line);
  expr.name = name;
  expr.symbol = symbol(name);
  if (current_macro != nullptr) {
    current_macro->uses_varargs |= expr.symbol == kVarargsSymbol;
    current_macro->uses_kwargs |= expr.symbol == kKwargsSymbol;
    current_macro->uses_caller |= expr.symbol == kCallerSymbol;
  }
  return expr;
}

Expr ExpressionParser::parse_primary() {
  const int line = current().line;
  switch (current().kind) {
    case Token::Kind::kName:
      return parse_name_or_constant();
    case Token::Kind::kString: {
      std::string text = next().text;
      while (current().kind == Token::Kind::kString) text += next().text;
      return literal(Value::string(text, true), line);
    }
    case Token::Kind::kInteger:
      return literal(Value::integer(next().integer), line);
    case Token::Kind::kFloat:
      return literal(Value::real(next().real), line);
    default:
      break;
  }
  if (skip_operator("(")) {
    if (skip_operator(")")) return make(Expr::Kind::kTuple, {}, line);
    Expr inner = parse_tuple();
    expect_operator(")");
    return inner;
  }
  if (skip_operator("[")) {
    std::vector<Expr> items;
    while (!is_operator("]")) {
      if (!items.empty()) expect_operator(",");
      if (is_operator("]")) break;
      items.push_back(parse_expression());
    }
    expect_operator("]");
    return make(Expr::Kind::kList, std::move(items), line);
  }
  if (is_operator("{")) return parse_dictionary();
  fail("expected an expression, found " + describe(current()));
}

Expr ExpressionParser::parse_dictionary() {
  const int line = current().line;
  expect_operator("{");
  std::vector<Expr> operands;
  while (!is_operator("}")) {
    if (!operands.empty()) expect_operator(",");
    if (is_operator("}")) break;
    operands.push_back(parse_expression());
    expect_operator(":");
    operands.push_back(parse_expression());
  }
  expect_operator("}");
  return make(Expr::Kind::kDictionary, std::move(operands), line);
}

Expr ExpressionParser::parse_postfix(Expr expr) {
  while (true) {
    if (is_operator(".")) {
      const int line = next().line;
      if (current().kind == Token::Kind::kInteger) {
        Expr key = literal(Value::integer(next().integer), line);
        expr = make(Expr::Kind::kSubscript, operands_of(std::move(expr), std::move(key)), line);
      } else {
        std::string name = expect_name();
        expr = make(Expr::Kind::kAttribute, operands_of(std::move(expr)), line);
        expr.name = std::move(name);
      }
    } else if (is_operator("[")) {
      expr = parse_subscript(std::move(expr));
    } else if (is_operator("(")) {
      expr = make(Expr::Kind::kCall, operands_of(std::move(expr)), current().line);
      parse_arguments(expr);
    } else {
      return expr;
    }
  }
}

Expr ExpressionParser::parse_subscript(Expr object) {
  const int line = next().line;
  std::vector<Expr> parts;
  const auto part = [&] {
    return is_operator(":") || is_operator("]") ? literal(Value::none(), line) : parse_expression();
  };
  if (is_operator("]")) fail("expected a subscript");
  parts.push_back(part());
  const bool is_slice = is_operator(":");
  while (is_slice && parts.size() < 3)
    parts.push_back(skip_operator(":") ? part() : literal(Value::none(), line));
  expect_operator("]");
  parts.insert(parts.begin(), std::move(object));
  return make(is_slice ? Expr::Kind::kSlice : Expr::Kind::kSubscript, std::move(parts), line);
}

// Adds the arguments in parentheses to the operands of a call, filter or test.
void ExpressionParser::parse_arguments(Expr& call) {
  expect_operator("(");
  bool first = true;
  while (!is_operator(")")) {
    if (!first) expect_operator(",");
    if (is_operator(")")) break;
    first = false;
    if (is_operator("*") || is_operator("**")) fail("arguments with * or ** are not supported");
    const Token& following = tokens_[std::min(at_ + 1, tokens_.size() - 1)];
    if (current().kind == Token::Kind::kName && following.kind == Token::Kind::kOperator &&
        following.text == "=") {
      std::string name = next().text;
      next();
      for (const NamedExpr& argument : call.named) {
        if (argument.name == name) fail("argument '" + name + "' is given twice");
      }
      call.named.push_back({std::move(name), parse_expression()});
    } else {
      if (!call.named.empty()) fail("a positional argument follows a named one");
      call.operands.push_back(parse_expression());
    }
  }
  expect_operator(")");
  check_depth(call);
}

Expr ExpressionParser::parse_filters_and_tests(Expr expr) {
  while (true) {
    if (is_operator("|")) {
      next();
      expr = parse_filter(std::move(expr));
    } else if (is_name("is")) {
      next();
      expr = parse_test(std::move(expr));
    } else if (is_operator("(")) {
      expr = make(Expr::Kind::kCall, operands_of(std::move(expr)), current().line);
      parse_arguments(expr);
    } else {
      return expr;
    }
  }
}

Expr ExpressionParser::parse_filter(Expr input) {
  const int line = current().line;
  const std::string name = expect_name();
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) throw SyntaxFailure("unknown filter '" + name + "'", line);
  Expr expr = make(Expr::Kind::kFilter, operands_of(std::move(input)), line);
  expr.name = name;
  expr.filter = filter;
  if (is_operator("(")) parse_arguments(expr);
  return expr;
}

Expr ExpressionParser::parse_filters(Expr input) {
  Expr expr = parse_filter(std::move(input));
  while (skip_operator("|")) expr = parse_filter(std::move(expr));
  return expr;
}

Expr ExpressionParser::parse_test(Expr input) {
  const bool negated = skip_name("not");
  const int line = current().line;
  const std::string name = expect_name();
  const TestFunction test = find_test(name);
  if (test == nullptr) throw SyntaxFailure("unknown test '" + name + "'", line);
  Expr expr = make(Expr::Kind::kTest, operands_of(std::move(input)), line);
  expr.name = name;
  expr.test = test;
  const bool is_keyword = is_name("else") || is_name("or") || is_name("and") || is_name("if") ||
                          is_name("is") || is_name("not") || is_name("in");
  if (is_operator("(")) {
    parse_arguments(expr);
  } else if ((current().kind == Token::Kind::kName && !is_keyword) ||
             current().kind == Token::Kind::kString || current().kind == Token::Kind::kInteger ||
             current().kind == Token::Kind::kFloat || is_operator("[") || is_operator("{")) {
    const Nesting nesting(*this);
    expr.operands.push_back(parse_postfix(parse_primary()));
    check_depth(expr);
  }
  return negated ? make(Expr::Kind::kNot, operands_of(std::move(expr)), line) : std::move(expr);
}

}  // namespace gemma4::jinja
