#include "lib/text/jinja/parser.h"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "lib/text/jinja/expression_parser.h"

namespace gemma4::jinja {
namespace {

using Names = std::initializer_list<std::string_view>;

class Parser {
 public:
  Parser(std::vector<Token> tokens, const Limits& limits) : p_(std::move(tokens), limits) {}

  Program run() {
    Program program;
    program.body = parse_body({});
    program.symbols = p_.take_symbols();
    return program;
  }

 private:
  // Statements up to a tag that begins with one of `ends` (whose name is then current), or to the
  // end of the template when there is none.
  Body parse_body(Names ends) {
    const ExpressionParser::Nesting nesting(p_);
    Body body;
    while (true) {
      switch (p_.current().kind) {
        case Token::Kind::kEnd:
          if (ends.size() > 0) p_.fail("'" + std::string(*(ends.end() - 1)) + "' is missing");
          return body;
        case Token::Kind::kText: {
          Statement statement = make(Statement::Kind::kText);
          statement.text = Text(p_.next().text, true);
          body.push_back(std::move(statement));
          break;
        }
        case Token::Kind::kPrintBegin: {
          Statement statement = make(Statement::Kind::kPrint);
          p_.next();
          statement.exprs.push_back(p_.parse_tuple());
          p_.expect(Token::Kind::kPrintEnd, "'}}'");
          body.push_back(std::move(statement));
          break;
        }
        default:
          p_.expect(Token::Kind::kBlockBegin, "a tag");
          for (const std::string_view end : ends) {
            if (p_.is_name(end)) return body;
          }
          parse_block(body);
      }
    }
  }

  Statement make(Statement::Kind kind) const {
    Statement statement;
    statement.kind = kind;
    statement.line = p_.current().line;
    return statement;
  }

  void end_tag() { p_.expect(Token::Kind::kBlockEnd, "'%}'"); }

  // The body up to {% `end` %}, which is consumed.
  Body parse_body_to(std::string_view end) {
    end_tag();
    Body body = parse_body({end});
    p_.next();
    end_tag();
    return body;
  }

  void parse_block(Body& body) {
    const int line = p_.current().line;
    const std::string tag = p_.expect_name();
    if (tag == "if") return body.push_back(parse_if());
    if (tag == "for") return body.push_back(parse_for());
    if (tag == "set") return body.push_back(parse_set());
    if (tag == "macro") return body.push_back(parse_macro());
    if (tag == "call") return body.push_back(parse_call_block());
    if (tag == "filter") return body.push_back(parse_filter_block());
    if (tag == "with") return body.push_back(parse_with());
    if (tag == "break" || tag == "continue") {
      if (loops_ == 0) throw SyntaxFailure("'" + tag + "' outside a loop", line);
      body.push_back(make(tag == "break" ? Statement::Kind::kBreak : Statement::Kind::kContinue));
      return end_tag();
    }
    if (tag == "generation") {
      // Marks the assistant's words for training; prints what is inside.
      for (Statement& statement : parse_body_to("endgeneration")) {
        body.push_back(std::move(statement));
      }
      return;
    }
    throw SyntaxFailure("tag '" + tag + "' is not known or has no place here", line);
  }

  Statement parse_if() {
    Statement statement = make(Statement::Kind::kIf);
    while (true) {
      statement.exprs.push_back(p_.parse_tuple());
      end_tag();
      statement.bodies.push_back(parse_body({"elif", "else", "endif"}));
      const std::string tag = p_.next().text;
      if (tag == "elif") continue;
      if (tag == "else") {
        statement.bodies.push_back(parse_body_to("endif"));
      } else {
        end_tag();
      }
      return statement;
    }
  }

  // One name, or several in a tuple.
  Target parse_names() {
    Target target;
    const bool parenthesised = p_.skip_operator("(");
    target.symbols.push_back(parse_assigned_name());
    while (p_.skip_operator(",")) {
      target.unpack = true;
      if (p_.current().kind != Token::Kind::kName || p_.is_name("in")) break;
      target.symbols.push_back(parse_assigned_name());
    }
    if (parenthesised) p_.expect_operator(")");
    return target;
  }

  Symbol parse_assigned_name() {
    const std::string name = p_.expect_name();
    for (const std::string_view constant :
         {"true", "True", "false", "False", "none", "None", "loop"}) {
      if (name == constant) p_.fail("cannot assign to '" + name + "'");
    }
    return p_.symbol(name);
  }

  Statement parse_for() {
    Statement statement = make(Statement::Kind::kFor);
    statement.target = parse_names();
    if (!p_.skip_name("in")) p_.fail("expected 'in'");
    statement.exprs.push_back(p_.parse_tuple(false));
    if (p_.skip_name("if")) statement.exprs.push_back(p_.parse_expression());
    if (p_.is_name("recursive")) p_.fail("recursive loops are not supported");
    end_tag();
    ++loops_;
    statement.bodies.push_back(parse_body({"else", "endfor"}));
    --loops_;
    if (p_.next().text == "else") {
      statement.bodies.push_back(parse_body_to("endfor"));
    } else {
      end_tag();
    }
    return statement;
  }

  Statement parse_set() {
    Statement statement = make(Statement::Kind::kSet);
    statement.target = parse_names();
    if (!statement.target.unpack && p_.skip_operator(".")) {
      statement.target.attribute = p_.expect_name();
    }
    if (p_.skip_operator("=")) {
      statement.exprs.push_back(p_.parse_tuple());
      end_tag();
      return statement;
    }
    if (statement.target.unpack) p_.fail("expected '='");
    statement.kind = Statement::Kind::kSetBlock;
    if (p_.skip_operator("|")) statement.exprs.push_back(p_.parse_filters(block_value()));
    statement.bodies.push_back(parse_inner_body("endset"));
    return statement;
  }

  // Stands for the text of a block, as input of filters.
  Expr block_value() {
    Expr expr;
    expr.kind = Expr::Kind::kName;
    expr.line = p_.current().line;
    expr.symbol = kBlockSymbol;
    return expr;
  }

  // A body of its own scope, which a loop around it cannot be left from.
  Body parse_inner_body(std::string_view end) {
    const int loops = std::exchange(loops_, 0);
    Body body = parse_body_to(end);
    loops_ = loops;
    return body;
  }

  void parse_parameters(MacroDefinition& macro) {
    p_.expect_operator("(");
    while (!p_.is_operator(")")) {
      if (!macro.parameters.empty()) p_.expect_operator(",");
      if (p_.is_operator(")")) break;
      MacroDefinition::Parameter parameter;
      parameter.name = p_.expect_name();
      parameter.symbol = p_.symbol(parameter.name);
      if (p_.skip_operator("=")) {
        parameter.fallback = p_.parse_expression();
      } else if (!macro.parameters.empty() && macro.parameters.back().fallback) {
        p_.fail("a parameter without default follows one with a default");
      }
      macro.parameters.push_back(std::move(parameter));
    }
    p_.expect_operator(")");
  }

  void parse_macro_body(MacroDefinition& macro, std::string_view end) {
    MacroDefinition* outer = std::exchange(p_.current_macro, &macro);
    macro.body = parse_inner_body(end);
    p_.current_macro = outer;
    if (outer == nullptr) return;
    // An inner macro that mentions these names may mean those of the outer one.
    outer->uses_varargs |= macro.uses_varargs;
    outer->uses_kwargs |= macro.uses_kwargs;
    outer->uses_caller |= macro.uses_caller;
  }

  Statement parse_macro() {
    Statement statement = make(Statement::Kind::kMacro);
    auto macro = std::make_shared<MacroDefinition>();
    macro->name = p_.expect_name();
    macro->symbol = p_.symbol(macro->name);
    parse_parameters(*macro);
    parse_macro_body(*macro, "endmacro");
    statement.macro = std::move(macro);
    return statement;
  }

  Statement parse_call_block() {
    Statement statement = make(Statement::Kind::kCallBlock);
    auto macro = std::make_shared<MacroDefinition>();
    macro->name = "caller";
    macro->symbol = kCallerSymbol;
    if (p_.is_operator("(")) parse_parameters(*macro);
    statement.exprs.push_back(p_.parse_expression());
    if (statement.exprs[0].kind != Expr::Kind::kCall) p_.fail("expected a call");
    parse_macro_body(*macro, "endcall");
    statement.macro = std::move(macro);
    return statement;
  }

  Statement parse_filter_block() {
    Statement statement = make(Statement::Kind::kFilterBlock);
    statement.exprs.push_back(p_.parse_filters(block_value()));
    statement.bodies.push_back(parse_inner_body("endfilter"));
    return statement;
  }

  Statement parse_with() {
    Statement statement = make(Statement::Kind::kWith);
    while (!p_.is_end_of_tag()) {
      if (!statement.targets.empty()) p_.expect_operator(",");
      Target target;
      target.symbols.push_back(parse_assigned_name());
      p_.expect_operator("=");
      statement.targets.push_back(std::move(target));
      statement.exprs.push_back(p_.parse_expression());
    }
    statement.bodies.push_back(parse_body_to("endwith"));
    return statement;
  }

  ExpressionParser p_;
  int loops_ = 0;  // loops around that `break` can leave
};

}  // namespace

Program parse(std::string_view source, const Limits& limits) {
  if (source.size() > limits.source_bytes) {
    throw SyntaxFailure("longer than " + std::to_string(limits.source_bytes) + " bytes", 1);
  }
  return Parser(tokenize(source), limits).run();
}

}  // namespace gemma4::jinja
