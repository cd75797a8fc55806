#include "lib/text/grammar/regex_parser.h"

#include <optional>
#include <string>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/grammar/limits.h"
#include "lib/text/grammar/nfa.h"

namespace gemma4 {
namespace {

constexpr uint32_t kEndless = UINT32_MAX;

struct RegexNode {
  enum class Kind { kNothing, kClass, kSequence, kChoice, kRepeat, kTextBegins, kTextEnds };
  Kind kind = Kind::kNothing;
  std::vector<CodePointRange> ranges = {};  // kClass, normalized
  std::vector<RegexNode> children = {};
  uint32_t least = 0, most = 0;  // kRepeat
};

std::vector<CodePointRange> digits() { return {{'0', '9'}}; }
std::vector<CodePointRange> word() {
  return normalized({{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}});
}
std::vector<CodePointRange> blanks() {
  return normalized({{0x09, 0x0D},
                     {0x20, 0x20},
                     {0xA0, 0xA0},
                     {0x1680, 0x1680},
                     {0x2000, 0x200A},
                     {0x2028, 0x2029},
                     {0x202F, 0x202F},
                     {0x205F, 0x205F},
                     {0x3000, 0x3000},
                     {0xFEFF, 0xFEFF}});
}
std::vector<CodePointRange> all_but_line_ends() {
  return complement({{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}});
}

class RegexParser {
 public:
  explicit RegexParser(std::string_view text) : text_(text) {
    if (text.size() > grammar_limits::kMaxSourceBytes) fail("the expression is too long");
    if (!is_valid_utf8(text)) fail("the expression is not valid UTF-8");
  }

  RegexNode parse() {
    RegexNode node = choice(0);
    if (at_ < text_.size()) fail("a ) without its (");
    return node;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(ErrorKind::kUsage, what + ", at byte " + std::to_string(at_),
                "expression " + printable(text_, 80));
  }
  bool more() const { return at_ < text_.size(); }
  char peek() const { return more() ? text_[at_] : '\0'; }
  bool take(std::string_view what) {
    if (text_.substr(at_).substr(0, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }
  char32_t code_point() {
    if (!more()) fail("the expression ends too early");
    const CodePoint point = decode_utf8(text_.substr(at_));
    at_ += point.length;
    return point.value;
  }

  RegexNode choice(int depth) {
    if (depth > grammar_limits::kMaxGroupDepth) fail("groups are nested too deeply");
    RegexNode node{.kind = RegexNode::Kind::kChoice};
    do {
      node.children.push_back(sequence(depth));
    } while (take("|"));
    return node.children.size() == 1 ? std::move(node.children.front()) : std::move(node);
  }

  RegexNode sequence(int depth) {
    RegexNode node{.kind = RegexNode::Kind::kSequence};
    while (more() && peek() != '|' && peek() != ')') {
      RegexNode part = term(depth);
      node.children.push_back(quantified(std::move(part)));
    }
    return node;
  }

  RegexNode quantified(RegexNode part) {
    uint32_t least, most;
    if (take("*")) {
      least = 0, most = kEndless;
    } else if (take("+")) {
      least = 1, most = kEndless;
    } else if (take("?")) {
      least = 0, most = 1;
    } else if (take("{")) {
      least = count();
      most = least;
      if (take(",")) most = peek() == '}' ? kEndless : count();
      if (!take("}")) fail("{ without } (write \\{ for the character)");
      if (most < least) fail("the bounds of {,} are in the wrong order");
    } else {
      return part;
    }
    if (part.kind == RegexNode::Kind::kTextBegins || part.kind == RegexNode::Kind::kTextEnds) {
      fail("^ or $ cannot be repeated");
    }
    take("?");  // lazy: another order of trying, the same texts
    if (peek() == '+') fail("possessive quantifiers are not supported");
    if (peek() == '*' || peek() == '?' || peek() == '{') fail("a quantifier after a quantifier");
    RegexNode node{.kind = RegexNode::Kind::kRepeat};
    node.least = least;
    node.most = most;
    node.children.push_back(std::move(part));
    return node;
  }

  uint32_t count() {
    uint64_t value = 0;
    const size_t begin = at_;
    for (; peek() >= '0' && peek() <= '9' && more(); ++at_) {
      value = value * 10 + static_cast<uint64_t>(peek() - '0');
      if (value > grammar_limits::kMaxCount) fail("a count is too large");
    }
    if (at_ == begin) fail("{ without a count (write \\{ for the character)");
    return static_cast<uint32_t>(value);
  }

  static RegexNode class_of(std::vector<CodePointRange> ranges) {
    RegexNode node{.kind = RegexNode::Kind::kClass};
    node.ranges = normalized(std::move(ranges));
    return node;
  }

  RegexNode term(int depth) {
    if (take("^")) return {.kind = RegexNode::Kind::kTextBegins};
    if (take("$")) return {.kind = RegexNode::Kind::kTextEnds};
    if (take("(")) return group(depth);
    if (take("[")) return bracket();
    if (take(".")) return class_of(all_but_line_ends());
    if (take("\\")) {
      if (peek() >= '1' && peek() <= '9') fail("back references are not supported");
      if (peek() == 'b' || peek() == 'B') fail("word boundaries are not supported");
      if (peek() == 'k') fail("back references are not supported");
      return class_of(escape());
    }
    if (peek() == '*' || peek() == '+' || peek() == '?') fail("a quantifier without a target");
    if (peek() == '{' || peek() == '}' || peek() == ']') {
      fail(std::string("an unescaped ") + peek());
    }
    const char32_t value = code_point();
    return class_of({{value, value}});
  }

  RegexNode group(int depth) {
    if (take("?")) {
      if (take("<") && peek() != '=' && peek() != '!') {
        while (more() && peek() != '>') ++at_;
        if (!take(">")) fail("a group's name does not end");
      } else if (!take(":")) {
        fail("look-around and inline flags are not supported");
      }
    }
    RegexNode node = choice(depth + 1);
    if (!take(")")) fail("a ( without its )");
    return node;
  }

  // What follows a backslash: a class, or one character.
  std::vector<CodePointRange> escape() {
    const char32_t letter = code_point();
    switch (letter) {
      case 'd':
        return digits();
      case 'D':
        return complement(digits());
      case 'w':
        return word();
      case 'W':
        return complement(word());
      case 's':
        return blanks();
      case 'S':
        return complement(blanks());
      default: {
        const char32_t value = escaped_character(letter);
        return {{value, value}};
      }
    }
  }

  char32_t escaped_character(char32_t letter) {
    switch (letter) {
      case 't':
        return '\t';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 'v':
        return '\v';
      case 'f':
        return '\f';
      case '0':
        if (peek() >= '0' && peek() <= '9') fail("octal escapes are not supported");
        return 0;
      case 'x':
        return hex(2);
      case 'u':
        return unicode_escape();
      default:
        break;
    }
    const bool alphanumeric = (letter >= '0' && letter <= '9') ||
                              (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z');
    if (alphanumeric) fail(std::string("unknown escape \\") + static_cast<char>(letter));
    return letter;
  }

  char32_t unicode_escape() {
    if (take("{")) {
      char32_t value = 0;
      const size_t begin = at_;
      while (more() && peek() != '}') {
        value = value * 16 + hex(1);
        if (value > kLastCodePoint) fail("no such character");
      }
      if (at_ == begin || !take("}")) fail("\\u{ without }");
      if (value >= 0xD800 && value <= 0xDFFF) fail("a lone surrogate");
      return value;
    }
    const char32_t high = hex(4);
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || !take("\\u")) fail("a lone surrogate");
    const char32_t low = hex(4);
    if (low < 0xDC00 || low > 0xDFFF) fail("a lone surrogate");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  char32_t hex(int length) {
    char32_t value = 0;
    for (int i = 0; i < length; ++i, ++at_) {
      const char c = peek();
      if (c >= '0' && c <= '9') {
        value = value * 16 + static_cast<char32_t>(c - '0');
      } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
        value = value * 16 + static_cast<char32_t>((c | 0x20) - 'a' + 10);
      } else {
        fail("a hexadecimal digit is missing");
      }
    }
    return value;
  }

  RegexNode bracket() {
    const bool negative = take("^");
    std::vector<CodePointRange> ranges;
    while (!take("]")) {
      if (!more()) fail("a [ without its ]");
      const auto first = bracket_item();
      const bool single = first.size() == 1 && first[0].low == first[0].high;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        const auto last = bracket_item();
        if (!single || last.size() != 1 || last[0].low != last[0].high) {
          // [\w-.]: the dash is itself (ECMA-262, annex B.1.2.4).
          ranges.insert(ranges.end(), first.begin(), first.end());
          ranges.push_back({'-', '-'});
          ranges.insert(ranges.end(), last.begin(), last.end());
          continue;
        }
        if (last[0].low < first[0].low) fail("a range in the wrong order");
        ranges.push_back({first[0].low, last[0].low});
      } else {
        ranges.insert(ranges.end(), first.begin(), first.end());
      }
    }
    RegexNode node = class_of(negative ? complement(ranges) : std::move(ranges));
    if (node.ranges.empty()) fail("a class without characters");
    return node;
  }

  std::vector<CodePointRange> bracket_item() {
    if (!take("\\")) {
      const char32_t value = code_point();
      return {{value, value}};
    }
    if (take("b")) return {{'\b', '\b'}};
    return escape();
  }

  std::string_view text_;
  size_t at_ = 0;
};

// Parts as in Thompson's construction; a repeated part is built once per repetition. Depth is the
// parser's.
class NfaWriter {
 public:
  explicit NfaWriter(Nfa& nfa) : nfa_(nfa) {}

  Nfa::Part write(const RegexNode& node) {
    using Kind = RegexNode::Kind;
    switch (node.kind) {
      case Kind::kNothing:
        return nothing();
      case Kind::kClass:
        return nfa_.code_point(node.ranges);
      case Kind::kSequence: {
        Nfa::Part whole = nothing();
        for (const RegexNode& child : node.children) {
          whole = nfa_.concatenation(whole, write(child));
        }
        return whole;
      }
      case Kind::kChoice: {
        const Nfa::Part whole{nfa_.add_state(), nfa_.add_state()};
        for (const RegexNode& child : node.children) {
          const Nfa::Part part = write(child);
          nfa_.link(whole.begin, part.begin);
          nfa_.link(part.end, whole.end);
        }
        return whole;
      }
      case Kind::kRepeat:
        return repeat(node);
      case Kind::kTextBegins:
      case Kind::kTextEnds: {
        const Nfa::Part part{nfa_.add_state(), nfa_.add_state()};
        nfa_.link(part.begin, part.end,
                  node.kind == Kind::kTextBegins ? Nfa::Assertion::kTextBegins
                                                 : Nfa::Assertion::kTextEnds);
        return part;
      }
    }
    return nothing();
  }

  // Any text, `around` it.
  Nfa::Part anything() {
    const std::vector<CodePointRange> all = complement({});
    const Nfa::Part part = nfa_.code_point(all);
    return loop(part);
  }

 private:
  Nfa::Part nothing() {
    const uint32_t state = nfa_.add_state();
    return {state, state};
  }

  Nfa::Part loop(Nfa::Part part) {
    const Nfa::Part whole{nfa_.add_state(), nfa_.add_state()};
    nfa_.link(whole.begin, part.begin);
    nfa_.link(whole.begin, whole.end);
    nfa_.link(part.end, whole.begin);
    return whole;
  }

  Nfa::Part repeat(const RegexNode& node) {
    const RegexNode& child = node.children.front();
    Nfa::Part whole = nothing();
    for (uint32_t i = 0; i < node.least; ++i) whole = nfa_.concatenation(whole, write(child));
    if (node.most == kEndless) return nfa_.concatenation(whole, loop(write(child)));
    const uint32_t end = nfa_.add_state();
    nfa_.link(whole.end, end);
    for (uint32_t i = node.least; i < node.most; ++i) {
      whole = nfa_.concatenation(whole, write(child));
      nfa_.link(whole.end, end);
    }
    return {whole.begin, end};
  }

  Nfa& nfa_;
};

}  // namespace

Dfa parse_regex(std::string_view expression, RegexMatch match) {
  const RegexNode node = RegexParser(expression).parse();
  Nfa nfa;
  NfaWriter writer(nfa);
  Nfa::Part part = writer.write(node);
  if (match == RegexMatch::kSearch) {
    part = nfa.concatenation(writer.anything(), part);
    part = nfa.concatenation(part, writer.anything());
  }
  return nfa.determinize(part);
}

Grammar regex_grammar(std::string_view expression) {
  GrammarBuilder builder;
  const GrammarNode root = builder.dfa(parse_regex(expression, RegexMatch::kWhole));
  return std::move(builder).finish(root);
}

}  // namespace gemma4
