// The compiled form of a template.
//
// Names of variables are replaced by numbers (symbols) so that scopes compare integers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/text/jinja/filters.h"
#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

using Symbol = int;

struct NamedExpr;

/// One expression. Which members are used depends on the kind.
struct Expr {
  enum class Kind {
    kLiteral,      // literal
    kName,         // symbol, name
    kList,         // operands
    kTuple,        // operands
    kDictionary,   // operands: key, value, key, value ...
    kNot,          // operands[0]
    kNegate,       // operands[0]
    kPlus,         // operands[0]
    kArithmetic,   // name: the operator; operands[0], operands[1]
    kConcatenate,  // operands, two or more: a ~ b ~ c
    kCompare,      // operands, with operators[i] between i and i + 1: "==", "in", "not in" ...
    kAnd,          // operands[0], operands[1]
    kOr,           // operands[0], operands[1]
    kConditional,  // operands: value, condition[, other value]
    kAttribute,    // operands[0].name
    kSubscript,    // operands[0][operands[1]]
    kSlice,        // operands: value, begin, end, step; a missing one is a literal none
    kCall,         // operands[0](operands[1] ..., named)
    kFilter,       // operands[0] | filter(operands[1] ..., named)
    kTest,         // operands[0] is test(operands[1] ..., named)
  };
  Kind kind = Kind::kLiteral;
  int line = 0;
  int depth = 1;  // of the tree below
  Symbol symbol = 0;
  std::string name;
  Value literal;
  std::vector<Expr> operands;
  std::vector<NamedExpr> named;
  std::vector<std::string> operators;
  FilterFunction filter = nullptr;
  TestFunction test = nullptr;
};

/// An argument given by name.
struct NamedExpr {
  std::string name;
  Expr value;
};

/// What `set` and `for` assign to: a name, several names, or an attribute of a namespace.
struct Target {
  std::vector<Symbol> symbols;
  bool unpack = false;
  std::string attribute;  // not empty: of the namespace symbols[0]
};

struct MacroDefinition;

/// One statement. Which members are used depends on the kind.
struct Statement {
  enum class Kind {
    kText,         // text
    kPrint,        // exprs[0]
    kIf,           // exprs[i] guards bodies[i]; one more body: else
    kFor,          // target in exprs[0] [if exprs[1]]; bodies[0], else: bodies[1]
    kSet,          // target = exprs[0]
    kSetBlock,     // target = bodies[0], through exprs[0] when there is one
    kMacro,        // macro
    kCallBlock,    // exprs[0] is the call, macro the body
    kFilterBlock,  // bodies[0] through exprs[0]
    kWith,         // targets = exprs; bodies[0]
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kText;
  int line = 0;
  Text text;
  Target target;
  std::vector<Target> targets;
  std::vector<Expr> exprs;
  std::vector<std::vector<Statement>> bodies;
  std::shared_ptr<const MacroDefinition> macro;
};
using Body = std::vector<Statement>;

struct MacroDefinition {
  struct Parameter {
    std::string name;
    Symbol symbol = 0;
    std::optional<Expr> fallback;
  };
  std::string name;
  Symbol symbol = 0;
  std::vector<Parameter> parameters;
  Body body;
  // The body mentions these names, so that a call may give more than the parameters.
  bool uses_varargs = false;
  bool uses_kwargs = false;
  bool uses_caller = false;
};

/// Symbols that the engine itself gives a meaning.
enum KnownSymbol : Symbol {
  kLoopSymbol,
  kVarargsSymbol,
  kKwargsSymbol,
  kCallerSymbol,
  kBlockSymbol
};

struct Program {
  Body body;
  std::vector<std::string> symbols;  // their names; the known ones come first
};

}  // namespace gemma4::jinja
