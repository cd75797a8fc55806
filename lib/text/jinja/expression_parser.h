// Tokens -> expressions, with the precedences of Jinja:
// if-else < or < and < not < comparison < + - < ~ < * / // % < ** < unary < . [] () < | is
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/text/jinja/ast.h"
#include "lib/text/jinja/lexer.h"

namespace gemma4::jinja {

/// The token to read next, the names met so far, and the nesting.
class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, const Limits& limits);

  /// An expression; with `allow_condition` false, one that stops before `if`.
  Expr parse_expression(bool allow_condition = true);
  /// Expressions with commas between them are a tuple.
  Expr parse_tuple(bool allow_condition = true);
  /// `name [(arguments)] [| name ...]`, applied to nothing yet: for block set and filter blocks.
  /// operands[0] of the innermost one is `input`.
  Expr parse_filters(Expr input);

  const Token& current() const { return tokens_[at_]; }
  Token next();
  bool is_operator(std::string_view text) const;
  bool is_name(std::string_view text) const;
  bool is_end_of_tag() const;
  bool skip_operator(std::string_view text);
  bool skip_name(std::string_view text);
  void expect_operator(std::string_view text);
  std::string expect_name();
  void expect(Token::Kind kind, std::string_view description);
  [[noreturn]] void fail(const std::string& message) const;

  Symbol symbol(const std::string& name);
  std::vector<std::string> take_symbols() { return std::move(symbol_names_); }

  /// The macro whose body is being parsed; null outside.
  MacroDefinition* current_macro = nullptr;

  /// Counts one level of nesting while it lives.
  class Nesting {
   public:
    explicit Nesting(ExpressionParser& parser);
    ~Nesting() { --parser_.depth_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    ExpressionParser& parser_;
  };

 private:
  Expr make(Expr::Kind kind, std::vector<Expr> operands, int line) const;
  void check_depth(Expr& expr) const;
  Expr literal(Value value, int line) const;
  Expr parse_or();
  Expr parse_and();
  Expr parse_not();
  Expr parse_compare();
  Expr parse_sum();
  Expr parse_concatenation();
  Expr parse_product();
  Expr parse_power();
  Expr parse_unary(bool with_filters = true);
  Expr parse_primary();
  Expr parse_postfix(Expr expr);
  Expr parse_filters_and_tests(Expr expr);
  Expr parse_filter(Expr input);
  Expr parse_test(Expr input);
  Expr parse_subscript(Expr object);
  Expr parse_name_or_constant();
  Expr parse_dictionary();
  void parse_arguments(Expr& call);
  std::string comparison_operator();

  std::vector<Token> tokens_;
  size_t at_ = 0;
  Limits limits_;
  int depth_ = 0;
  std::map<std::string, Symbol> symbols_;
  std::vector<std::string> symbol_names_;
};

}  // namespace gemma4::jinja
