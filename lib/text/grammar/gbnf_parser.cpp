#include "lib/text/grammar/gbnf_parser.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/grammar/limits.h"
#include "lib/text/grammar/nfa.h"

namespace gemma4 {
namespace {

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

class GbnfParser {
 public:
  explicit GbnfParser(std::string_view text) : text_(text) {
    if (text.size() > grammar_limits::kMaxSourceBytes) fail("the grammar is too long");
    if (!is_valid_utf8(text)) fail("the grammar is not valid UTF-8");
  }

  Grammar parse() && {
    for (skip_blanks(true); more(); skip_blanks(true)) rule();
    for (size_t i = 0; i < names_.size(); ++i) {
      if (!defined_[i]) fail("rule \"" + printable(names_[i], 80) + "\" is not defined");
    }
    if (!rules_.contains("root")) fail("there is no rule named root");
    const GrammarNode root = builder_.rule(rules_.at("root"));
    return std::move(builder_).finish(root, names_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    const auto line =
        1 + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(at_), '\n');
    throw Error(ErrorKind::kUsage, what, "grammar, line " + std::to_string(line));
  }

  bool more() const { return at_ < text_.size(); }
  char peek() const { return more() ? text_[at_] : '\0'; }
  bool take(std::string_view what) {
    if (text_.substr(at_).substr(0, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  void skip_blanks(bool over_lines) {
    while (more()) {
      if (peek() == '#') {
        while (more() && peek() != '\n') ++at_;
      } else if (peek() == ' ' || peek() == '\t' ||
                 (over_lines && (peek() == '\n' || peek() == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string name() {
    const size_t begin = at_;
    while (more() && is_name_character(peek())) ++at_;
    return std::string(text_.substr(begin, at_ - begin));
  }

  uint32_t rule_index(const std::string& name) {
    const auto [it, is_new] = rules_.try_emplace(name, 0);
    if (is_new) {
      it->second = builder_.declare_rule();
      names_.push_back(name);
      defined_.push_back(false);
    }
    return it->second;
  }

  void rule() {
    const std::string rule_name = name();
    if (rule_name.empty()) fail("a rule must begin with its name");
    skip_blanks(false);
    if (!take("::=")) fail("::= is missing");
    skip_blanks(true);
    const uint32_t index = rule_index(rule_name);
    if (defined_[index]) fail("rule \"" + printable(rule_name, 80) + "\" is defined twice");
    defined_[index] = true;
    const GrammarNode body = alternatives(0);
    builder_.define(index, body);
    if (more() && peek() != '\n' && peek() != '\r') {
      fail(std::string("unexpected ") + printable(text_.substr(at_, 1)));
    }
  }

  // Inside of groups lines do not matter; outside, an alternative may begin the next line.
  GrammarNode alternatives(int depth) {
    if (depth > grammar_limits::kMaxGroupDepth) fail("groups are nested too deeply");
    std::vector<GrammarNode> choices = {sequence(depth)};
    while (true) {
      const size_t before = at_;
      skip_blanks(true);
      if (!take("|")) {
        if (depth == 0) at_ = before;
        break;
      }
      skip_blanks(true);
      choices.push_back(sequence(depth));
    }
    return builder_.alternatives(std::move(choices));
  }

  GrammarNode sequence(int depth) {
    std::vector<GrammarNode> parts;
    while (true) {
      skip_blanks(depth > 0);
      std::optional<GrammarNode> part = element(depth);
      if (!part) break;
      parts.push_back(quantified(*part, depth));
    }
    return builder_.sequence(std::move(parts));
  }

  // Nothing: the sequence ends here.
  std::optional<GrammarNode> element(int depth) {
    if (take("\"")) return literal();
    if (take("[")) return character_class();
    if (take(".")) return code_point({{0, kLastCodePoint}});
    if (take("(")) {
      skip_blanks(true);
      const GrammarNode group = alternatives(depth + 1);
      skip_blanks(true);
      if (!take(")")) fail("a ( without its )");
      return group;
    }
    if (peek() == '<' || peek() == '!') fail("token names are not supported");
    if (!more() || !is_name_character(peek())) return std::nullopt;
    return builder_.rule(rule_index(name()));
  }

  GrammarNode quantified(GrammarNode part, int depth) {
    while (true) {
      skip_blanks(depth > 0);
      if (take("*")) {
        part = builder_.repeat(part, 0, Grammar::kEndless);
      } else if (take("+")) {
        part = builder_.repeat(part, 1, Grammar::kEndless);
      } else if (take("?")) {
        part = builder_.repeat(part, 0, 1);
      } else if (take("{")) {
        skip_blanks(false);
        const uint32_t low = count();
        uint32_t high = low;
        skip_blanks(false);
        if (take(",")) {
          skip_blanks(false);
          high = peek() == '}' ? Grammar::kEndless : count();
          skip_blanks(false);
        }
        if (!take("}")) fail("a { without its }");
        if (high < low) fail("the bounds of {,} are in the wrong order");
        part = builder_.repeat(part, low, high);
      } else {
        return part;
      }
    }
  }

  uint32_t count() {
    uint64_t value = 0;
    const size_t begin = at_;
    for (; more() && peek() >= '0' && peek() <= '9'; ++at_) {
      value = value * 10 + static_cast<uint64_t>(peek() - '0');
      if (value > grammar_limits::kMaxCount) fail("a count is too large");
    }
    if (at_ == begin) fail("a count is missing");
    return static_cast<uint32_t>(value);
  }

  GrammarNode literal() {
    std::string bytes;
    while (!take("\"")) append_utf8(bytes, character());
    return builder_.literal(bytes);
  }

  GrammarNode character_class() {
    const bool negative = take("^");
    std::vector<CodePointRange> ranges;
    while (!take("]")) {
      const char32_t low = character();
      char32_t high = low;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        high = character();
        if (high < low) fail("a range in the wrong order");
      }
      ranges.push_back({low, high});
    }
    return code_point(negative ? complement(ranges) : std::move(ranges));
  }

  GrammarNode code_point(std::vector<CodePointRange> ranges) {
    ranges = normalized(std::move(ranges));
    if (ranges.empty()) fail("a class without characters");
    Nfa nfa;
    const Nfa::Part part = nfa.code_point(ranges);
    return builder_.dfa(nfa.determinize(part));
  }

  char32_t character() {
    if (!more() || peek() == '\n') fail("a literal or class does not end");
    const CodePoint point = decode_utf8(text_.substr(at_));
    at_ += point.length;
    if (point.value != '\\') return point.value;
    const char letter = peek();
    ++at_;
    switch (letter) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(letter);
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      default:
        --at_;
        fail("an unknown escape");
    }
  }

  char32_t hex(int length) {
    uint64_t value = 0;
    for (int i = 0; i < length; ++i, ++at_) {
      const char c = peek();
      const bool digit = c >= '0' && c <= '9';
      const bool letter = (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      if (!digit && !letter) fail("a hexadecimal digit is missing");
      value = value * 16 + static_cast<uint64_t>(digit ? c - '0' : (c | 0x20) - 'a' + 10);
    }
    if (value > kLastCodePoint || (value >= 0xD800 && value <= 0xDFFF)) fail("no such character");
    return static_cast<char32_t>(value);
  }

  std::string_view text_;
  size_t at_ = 0;
  GrammarBuilder builder_;
  std::unordered_map<std::string, uint32_t> rules_;
  std::vector<std::string> names_;  // by rule
  std::vector<bool> defined_;
};

}  // namespace

Grammar gbnf_grammar(std::string_view text) { return GbnfParser(text).parse(); }

}  // namespace gemma4
