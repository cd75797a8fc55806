#include <doctest/doctest.h>

#include <cmath>

#include "lib/base/error.h"
#include "lib/text/grammar/gbnf_parser.h"
#include "lib/text/grammar/number_text.h"
#include "lib/text/grammar/regex_parser.h"
#include "tests/text/grammar_tools.h"

namespace gemma4 {
namespace {

bool matches(const char* expression, std::string_view text, RegexMatch match) {
  return parse_regex(expression, match).matches(text);
}

TEST_CASE("an expression matches whole texts, or somewhere in a text") {
  struct Case {
    const char* expression;
    std::string_view text;
    bool whole, search;
  };
  const Case cases[] = {{"a+b", "aab", true, true},
                        {"a+b", "xaabx", false, true},
                        {"^a", "ba", false, false},
                        {"a$", "ba", false, true},
                        {"(^a|b)c", "xbc", false, true},
                        {"(^a|b)c", "xac", false, false},
                        {"^$", "", true, true},
                        {"^$", "a", false, false},
                        {"", "abc", false, true},
                        {"[^a-c]é{2,3}", "zéé", true, true},
                        {"[^a-c]é{2,3}", "zéééé", false, true},
                        {"\\d{2,4}", "12345", false, true},
                        {"\\d{2}", "123", false, true},
                        {"^\\d{2}$", "12", true, true},
                        {"(?:x|y)*?z", "xyz", true, true},
                        {"(?<name>x)", "x", true, true},
                        {"\\uD83D\\uDE00\\u{1F600}", "😀😀", true, true},
                        {"\\x41\\t\\/\\.", "A\t/.", true, true},
                        {".", "\n", false, false},
                        {".", "\xE2\x80\xA8", false, false},
                        {"[\\s\\S]{3}", "é😀x", true, true},
                        {"a|b|", "", true, true},
                        {"[\\w-.]+", "a-.z_9", true, true},
                        {"[\\d\\-x]", "-", true, true},
                        {"[]a]", "a", false, false},
                        {"\\s", "\xC2\xA0", true, true},
                        {"\\S", "\xC2\xA0", false, false},
                        {"\\w", "é", false, false},
                        {"\\W", "é", true, true},
                        {"[^\\d\\s]", "x", true, true},
                        {"(a*)*b", "aab", true, true},
                        {"(a|b){0,2}c{2,}", "abccc", true, true}};
  for (const Case& one : cases) {
    CAPTURE(one.expression);
    CAPTURE(one.text);
    if (std::string_view(one.expression) == "[]a]") {
      CHECK_THROWS_AS(parse_regex(one.expression, RegexMatch::kWhole), Error);
      continue;
    }
    CHECK(matches(one.expression, one.text, RegexMatch::kWhole) == one.whole);
    CHECK(matches(one.expression, one.text, RegexMatch::kSearch) == one.search);
  }
}

TEST_CASE("expressions that are not regular, or not well formed, are refused") {
  for (const char* expression : {"(a)\\1",
                                 "\\k<n>",
                                 "(?=a)",
                                 "(?!a)",
                                 "(?<=a)",
                                 "(?<!a)",
                                 "\\ba",
                                 "\\B",
                                 "\\p{L}",
                                 "(?i)a",
                                 "a++",
                                 "a**",
                                 "a{3,2}",
                                 "a{,3}",
                                 "a{2",
                                 "{",
                                 "a}",
                                 "]",
                                 "(",
                                 ")",
                                 "[a",
                                 "[z-a]",
                                 "\\",
                                 "\\q",
                                 "\\u12",
                                 "\\ud800",
                                 "*a",
                                 "+",
                                 "^*",
                                 "$+",
                                 "(?<n",
                                 "\\01",
                                 "\xff",
                                 "[^\\s\\S]",
                                 "a{1000001}",
                                 "(((a{1000}){1000}){1000})",
                                 "(a|b)*a(a|b){20}",
                                 "\\cA"}) {
    CAPTURE(expression);
    CHECK_THROWS_AS(parse_regex(expression, RegexMatch::kWhole), Error);
  }
  CHECK_THROWS_AS(parse_regex(std::string(200, '(') + std::string(200, ')'), RegexMatch::kWhole),
                  Error);
}

TEST_CASE("a text of an expression is escaped as JSON asks") {
  const Dfa strings = json_string_of(parse_regex("[^b]{2}", RegexMatch::kWhole));
  for (const char* text :
       {"\"aa\"", "\"\\n\\u0001\"", "\"\\\"é\"", "\"\\/\\\\\"", "\"\\u000A/\"", "\"\x7f😀\""}) {
    CAPTURE(text);
    CHECK(strings.matches(text));
  }
  for (const char* text : {"\"ab\"", "\"\n\n\"", "\"a\"", "\"a\\b\"c", "\"a\\u0062\"", "aa"}) {
    CAPTURE(text);
    CHECK_FALSE(strings.matches(text));
  }
}

TEST_CASE("the lengths of an expression's texts are known") {
  const auto lengths = [](const char* expression) {
    const LengthRange range = length_range(parse_regex(expression, RegexMatch::kWhole));
    return std::make_pair(range.least, range.most);
  };
  CHECK(lengths("a{2,5}|é{3}") == std::make_pair(2u, 5u));
  CHECK(lengths("é+😀?") == std::make_pair(1u, UINT32_MAX));
  CHECK(lengths("") == std::make_pair(0u, 0u));
  CHECK(lengths("(ab)*") == std::make_pair(0u, UINT32_MAX));
}

std::string random_number(std::mt19937& random, bool whole) {
  std::string digits;
  for (uint32_t i = 1 + random() % 4; i > 0; --i) digits += static_cast<char>('0' + random() % 10);
  while (digits.size() > 1 && digits[0] == '0') digits.erase(0, 1);
  if (!whole) {
    digits += '.';
    for (uint32_t i = 1 + random() % 3; i > 0; --i) digits += "048"[random() % 3];
  }
  return (random() % 2 == 0 ? "-" : "") + digits;
}

TEST_CASE("the numbers of a range are spelled, and no others") {
  std::mt19937 random(1);
  const auto value_of = [](const Decimal& decimal) {
    return std::stod((decimal.negative ? "-" : "") + decimal.integer + "." + decimal.fraction +
                     "0");
  };
  int inside = 0, wrong = 0;
  for (int round = 0; round < 400; ++round) {
    NumberSpec spec;
    spec.integer = random() % 2 == 0;
    const auto bound = [&]() -> std::optional<NumberBound> {
      if (random() % 3 == 0) return std::nullopt;
      const Json number = Json::parse(random_number(random, random() % 2 == 0));
      return NumberBound{decimal_of(number), random() % 2 == 0};
    };
    spec.low = bound();
    spec.high = bound();
    if (spec.integer && random() % 3 == 0) spec.multiple_of = 2 + random() % 9;
    const Dfa texts = number_text(spec);
    for (int i = 0; i < 100; ++i) {
      const bool whole = random() % 2 == 0;
      const std::string text = random_number(random, whole);
      const double value = std::stod(text);
      bool expected = whole || !spec.integer;
      if (spec.low) {
        const double low = value_of(spec.low->value);
        expected &= spec.low->exclusive ? value > low : value >= low;
      }
      if (spec.high) {
        const double high = value_of(spec.high->value);
        expected &= spec.high->exclusive ? value < high : value <= high;
      }
      expected &= std::fmod(value, static_cast<double>(spec.multiple_of)) == 0 || !spec.integer;
      if (expected) wrong += !contains(spec, Json::parse(text));
      if (text[0] == '-' && value == 0) expected = false;
      wrong += texts.matches(text) != expected;
      inside += expected;
    }
  }
  CHECK(wrong == 0);
  CHECK(inside > 3000);
}

TEST_CASE("a JSON number is read as the decimal that it is") {
  const auto decimal = [](const char* text) {
    const Decimal value = decimal_of(Json::parse(text));
    return (value.negative ? "-" : "") + value.integer + "|" + value.fraction;
  };
  CHECK(decimal("0") == "0|");
  CHECK(decimal("-0.0") == "0|");
  CHECK(decimal("-12.50") == "-12|5");
  CHECK(decimal("1e20") == "100000000000000000000|");
  CHECK(decimal("1.5e-7") == "0|00000015");
  CHECK(decimal("18446744073709551615") == "18446744073709551615|");
  CHECK(decimal("-9223372036854775808") == "-9223372036854775808|");
}

TEST_CASE("GBNF grammars are followed") {
  const auto list = std::make_shared<const Grammar>(gbnf_grammar(R"GBNF(
# A list of words and numbers.
root ::= item (", " item)* "."   # at the end a stop
item ::= word | number
       | "(" root-2 ")"
word ::= [a-zé]+ [^a-z\x41\]\\"] ?
number ::= "-"? [0-9]{1,3}
root-2 ::= (
  word |
  number
)
)GBNF"));
  for (const char* text : {"a.", "é!, -12, (ab).", "abc, 123.", "(1), (x?).", "a😀."}) {
    CAPTURE(text);
    CHECK(fits(list, text));
  }
  for (const char* text : {"", "a", "1234.", "a,b.", "((a)).", "aA.", "a]."}) {
    CAPTURE(text);
    CHECK_FALSE(fits(list, text));
  }
  CHECK(fits(gbnf_grammar("root ::= \"\\u00e9\\U0001F600\\n\\x41\""), "é😀\nA"));
  CHECK(fits(gbnf_grammar("root ::= .{2} \"x\"{0} (\"a\"?){3,5} | \"\""), "é\naaa"));
  CHECK(fits(gbnf_grammar("root ::= \"\" | \"a\" root"), "aaaa"));
  CHECK(fits(gbnf_grammar("root ::= \"(\" root \")\" root | \"\"\n"), "(()())()"));
  CHECK_FALSE(fits(gbnf_grammar("root ::= \"(\" root \")\" root | \"\"\n"), "(()"));
}

TEST_CASE("GBNF grammars that cannot be followed are refused with the line") {
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {{"", "no rule named root"},
                        {"a ::= \"x\"", "no rule named root"},
                        {"root ::= a", "not defined"},
                        {"root ::= \"a\"\nroot ::= \"b\"", "line 2"},
                        {"root ::= root \"a\" | \"b\"", "begins with itself"},
                        {"root ::= \"x\" a\na ::= \"\" b\nb ::= a? \"y\"", "begins with itself"},
                        {"root ::= \"a\" root", "fits no text"},
                        {"root ::= \"a", "does not end"},
                        {"root ::= [a", "does not end"},
                        {"root ::= (\"a\"", "without its"},
                        {"root ::= \"a\"{3,1}", "wrong order"},
                        {"root ::= \"a\"{99999999}", "too large"},
                        {"root ::= [z-a]", "wrong order"},
                        {"root ::= []", "class without"},
                        {"root ::= \"\\q\"", "escape"},
                        {"root ::= \"\\ud800\"", "no such character"},
                        {"root = \"a\"", "::= is missing"},
                        {"root ::= <think>", "token names"},
                        {"root ::= \"a\" )", "unexpected"},
                        {"root ::= (\"a\"?){0,1000}", "may be empty"},
                        {"\xff", "UTF-8"}};
  for (const Case& one : cases) {
    CAPTURE(one.text);
    std::string message;
    try {
      gbnf_grammar(one.text);
    } catch (const Error& error) {
      message = error.what();
      CHECK(error.kind() == ErrorKind::kUsage);
    }
    CAPTURE(message);
    CHECK(message.find(one.message) != std::string::npos);
  }
  CHECK_THROWS_AS(gbnf_grammar("root ::= " + std::string(1000, '(')), Error);
}

}  // namespace
}  // namespace gemma4
