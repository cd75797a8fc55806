#include "lib/text/jinja/lexer.h"

#include <array>
#include <charconv>
#include <utility>

#include "lib/base/utf8.h"
#include "lib/text/jinja/string_literal.h"
#include "lib/text/jinja/unicode.h"

namespace gemma4::jinja {
namespace {

constexpr auto npos = std::string_view::npos;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_part(char c) { return is_name_start(c) || is_digit(c); }

// Every line end becomes "\n", and one at the very end goes.
std::string normalize_line_ends(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      out += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      out += source[i];
    }
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = find_tag();
      if (tag == npos) {
        add_text(source_.substr(at_));
        advance(source_.size());
        break;
      }
      read_tag(tag);
    }
    add(Token::Kind::kEnd, "");
    return std::move(tokens_);
  }

 private:
  std::string_view rest() const { return source_.substr(at_); }

  void advance(size_t to) {
    for (; at_ < to; ++at_) line_ += source_[at_] == '\n';
  }

  void add(Token::Kind kind, std::string_view text) {
    Token token;
    token.kind = kind;
    token.text = text;
    token.line = line_;
    tokens_.push_back(std::move(token));
  }

  void add_text(std::string_view text) {
    if (!text.empty()) add(Token::Kind::kText, text);
  }

  [[noreturn]] void fail(const std::string& message) const { throw SyntaxFailure(message, line_); }

  size_t find_tag() const {
    for (size_t at = source_.find('{', at_); at != npos; at = source_.find('{', at + 1)) {
      if (at + 1 >= source_.size()) return npos;
      const char next = source_[at + 1];
      if (next == '{' || next == '%' || next == '#') return at;
    }
    return npos;
  }

  // The text before a tag, without the white space that the tag takes away.
  void add_text_before(size_t tag, char sign, bool is_print) {
    std::string_view text = source_.substr(at_, tag - at_);
    if (sign == '-') {
      text.remove_suffix(trailing_space(text));
    } else if (sign != '+' && !is_print) {
      const size_t line_begin = text.rfind('\n') + 1;  // npos + 1 is 0
      const bool starts_line = line_begin > 0 || at_ == 0 || source_[at_ - 1] == '\n';
      const std::string_view line = text.substr(line_begin);
      if (starts_line && leading_space(line) == line.size()) text = text.substr(0, line_begin);
    }
    add_text(text);
  }

  void read_tag(size_t tag) {
    const char type = source_[tag + 1];
    char sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
    if (sign != '-' && sign != '+') sign = '\0';
    add_text_before(tag, sign, type == '{');
    advance(tag + (sign == '\0' ? 2 : 3));
    if (type == '#') return skip_comment();
    if (type == '%' && read_raw()) return;
    add(type == '{' ? Token::Kind::kPrintBegin : Token::Kind::kBlockBegin, "");
    read_expression(type == '{' ? "}}" : "%}");
  }

  // After the closing mark of a tag: what goes of the text behind it.
  void leave_tag(bool strip, bool trim_newline) {
    if (strip) {
      advance(at_ + leading_space(rest()));
    } else if (trim_newline && at_ < source_.size() && source_[at_] == '\n') {
      advance(at_ + 1);
    }
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == npos) fail("comment without end");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    advance(end + 2);
    leave_tag(sign == '-', sign != '+');
  }

  // Matches `word`, surrounded by white space, and the end of a block from `from` on. Returns the
  // position behind it, or npos; `sign` receives the mark before "%}".
  size_t match_word_tag(size_t from, std::string_view word, char& sign) const {
    size_t at = from + leading_space(source_.substr(from));
    if (source_.substr(at, word.size()) != word) return npos;
    at += word.size();
    at += leading_space(source_.substr(at));
    sign = at < source_.size() ? source_[at] : '\0';
    if (sign == '-' || sign == '+') ++at;
    return source_.substr(at, 2) == "%}" ? at + 2 : npos;
  }

  // {% raw %} ... {% endraw %}, when the block tag that was just opened begins one.
  bool read_raw() {
    char sign = '\0';
    const size_t begin = match_word_tag(at_, "raw", sign);
    if (begin == npos) return false;
    advance(begin);
    leave_tag(sign == '-', sign != '+');
    for (size_t tag = source_.find("{%", at_); tag != npos; tag = source_.find("{%", tag + 2)) {
      char open_sign = tag + 2 < source_.size() ? source_[tag + 2] : '\0';
      if (open_sign != '-' && open_sign != '+') open_sign = '\0';
      const size_t end = match_word_tag(tag + (open_sign == '\0' ? 2 : 3), "endraw", sign);
      if (end == npos) continue;
      add_text_before(tag, open_sign, false);
      advance(end);
      leave_tag(sign == '-', sign != '+');
      return true;
    }
    fail("raw without endraw");
  }

  void read_expression(std::string_view closing) {
    std::string brackets;
    const bool is_block = closing == "%}";
    while (true) {
      advance(at_ + leading_space(rest()));
      if (rest().empty()) fail("tag without end");
      if (brackets.empty()) {
        const char sign = rest()[0];
        const bool signed_end =
            (sign == '-' || (sign == '+' && is_block)) && rest().substr(1, 2) == closing;
        if (signed_end || rest().substr(0, 2) == closing) {
          add(is_block ? Token::Kind::kBlockEnd : Token::Kind::kPrintEnd, "");
          advance(at_ + (signed_end ? 3 : 2));
          return leave_tag(signed_end && sign == '-', is_block && !signed_end);
        }
      }
      read_token(brackets);
    }
  }

  void read_token(std::string& brackets) {
    const char c = rest()[0];
    if (is_name_start(c)) {
      size_t length = 1;
      while (length < rest().size() && is_name_part(rest()[length])) ++length;
      add(Token::Kind::kName, rest().substr(0, length));
      advance(at_ + length);
    } else if (is_digit(c)) {
      read_number();
    } else if (c == '\'' || c == '"') {
      read_string(c);
    } else {
      read_operator(brackets);
    }
  }

  void read_number() {
    std::string digits;
    size_t length = 0;
    const auto take_digits = [&] {
      while (length < rest().size() && (is_digit(rest()[length]) || rest()[length] == '_')) {
        if (rest()[length] != '_') digits += rest()[length];
        ++length;
      }
    };
    const auto is_digit_at = [&](size_t i) { return i < rest().size() && is_digit(rest()[i]); };
    take_digits();
    bool is_float = false;
    if (length < rest().size() && rest()[length] == '.' && is_digit_at(length + 1)) {
      is_float = true;
      digits += '.';
      ++length;
      take_digits();
    }
    if (length < rest().size() && (rest()[length] == 'e' || rest()[length] == 'E')) {
      const bool has_sign =
          length + 1 < rest().size() && (rest()[length + 1] == '-' || rest()[length + 1] == '+');
      if (is_digit_at(length + 1 + has_sign)) {
        is_float = true;
        digits += 'e';
        if (has_sign && rest()[length + 1] == '-') digits += '-';
        length += 1 + has_sign;
        take_digits();
      }
    }
    add(is_float ? Token::Kind::kFloat : Token::Kind::kInteger, "");
    if (is_float) {
      const auto parsed =
          std::from_chars(digits.data(), digits.data() + digits.size(), tokens_.back().real);
      if (parsed.ec != std::errc{}) fail("number out of range");
    } else {
      if (digits.size() > 37) fail("number out of range");
      for (const char digit : digits) {
        tokens_.back().integer = tokens_.back().integer * 10 + (digit - '0');
      }
    }
    advance(at_ + length);
  }

  void read_string(char quote) {
    size_t end = 1;
    while (end < rest().size() && rest()[end] != quote) end += rest()[end] == '\\' ? 2 : 1;
    if (end >= rest().size()) fail("string without end");
    add(Token::Kind::kString, string_literal_value(rest().substr(1, end - 1), line_));
    advance(at_ + end + 1);
  }

  void read_operator(std::string& brackets) {
    static constexpr std::array<std::string_view, 6> kDouble = {"==", "!=", ">=", "<=", "//", "**"};
    static constexpr std::string_view kSingle = "+-*/%~<>=.,:|()[]{}";
    for (const std::string_view two : kDouble) {
      if (rest().substr(0, 2) != two) continue;
      add(Token::Kind::kOperator, two);
      advance(at_ + 2);
      return;
    }
    const char c = rest()[0];
    if (kSingle.find(c) == npos) {
      const CodePoint found = decode_utf8(rest());
      fail("unexpected character '" + std::string(rest().substr(0, found.length)) + "'");
    }
    if (c == '(' || c == '[' || c == '{') brackets += c == '(' ? ')' : c == '[' ? ']' : '}';
    if (c == ')' || c == ']' || c == '}') {
      if (brackets.empty() || brackets.back() != c) {
        fail(std::string("unexpected '") + c + "'");
      }
      brackets.pop_back();
    }
    add(Token::Kind::kOperator, rest().substr(0, 1));
    advance(at_ + 1);
  }

  std::string_view source_;
  size_t at_ = 0;
  int line_ = 1;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source) {
  const std::string normalized = normalize_line_ends(source);
  return Lexer(normalized).run();
}

}  // namespace gemma4::jinja
