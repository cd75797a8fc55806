#include <doctest/doctest.h>

#include "lib/base/error.h"
#include "lib/text/grammar/gbnf_parser.h"
#include "lib/text/grammar/json_schema.h"
#include "lib/text/grammar/regex_parser.h"
#include "lib/text/tokenizer.h"
#include "tests/support/golden_files.h"
#include "tests/text/grammar_tools.h"

namespace gemma4 {
namespace {

// Follows random answers; at each token the mask must say of every token what the matcher says.
// Returns how many masks were compared.
int compare_masks(const std::shared_ptr<GrammarMasks>& masks, std::mt19937& random, int tokens) {
  TokenConstraint constraint(masks, {kTestStop});
  std::vector<uint64_t> mask(constraint.mask_words());
  int compared = 0;
  while (compared < tokens && !constraint.ended()) {
    constraint.fill_mask(mask);
    for (TokenId id = 0; id < masks->trie().vocab_size(); ++id) {
      const bool allowed = (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
      if (allowed != constraint.allows(id)) {
        CAPTURE(id);
        CHECK(allowed == constraint.allows(id));
        return compared;
      }
    }
    ++compared;
    const std::vector<TokenId> ids = ids_of(mask);
    REQUIRE_FALSE(ids.empty());
    constraint.accept(ids[random() % ids.size()]);
  }
  return compared;
}

TEST_CASE("a mask allows exactly the tokens that the grammar can follow") {
  std::mt19937 random(3);
  int compared = 0;
  for (const Json& one :
       read_json_file(source_dir() / "tests/text/grammar/schemas.json", ErrorKind::kInput)) {
    if (one.contains("refused")) continue;
    CAPTURE(one["schema"].dump());
    const auto masks = masks_of(json_schema_grammar(one["schema"]));
    for (int i = 0; i < 3; ++i) compared += compare_masks(masks, random, 40);
  }
  for (const char* expression : {".*", "[^\n]{3,60}", "(a|ab|abc)*", "[a-z]+é?\\d{2}", "[\\s\\S]*",
                                 "[A-Za-z]{0,10} [a-z]{2,}"}) {
    CAPTURE(expression);
    const auto masks = masks_of(regex_grammar(expression));
    for (int i = 0; i < 3; ++i) compared += compare_masks(masks, random, 80);
  }
  CHECK(compared > 3000);
}

TEST_CASE("masks over Gemma's vocabulary allow exactly the tokens that the grammar can follow") {
  const auto file = shared_path("data/tokenizer/tokenizer.json");
  if (file.empty()) return;
  const auto tokenizer = Tokenizer::load(file.parent_path());
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  std::mt19937 random(4);
  for (const char* schema : {R"({"type": "string", "maxLength": 9})", R"({"type": "object"})",
                             R"({"type": "string", "pattern": "^[a-z]{1,4}[A-Za-z ]*$"})"}) {
    CAPTURE(schema);
    const auto masks = masks_of(json_schema_grammar(Json::parse(schema)), trie);
    CHECK(compare_masks(masks, random, 4) > 1);
  }
  // Control tokens have no text, not even that of their spelling.
  TokenConstraint constraint(masks_of(regex_grammar("[\\s\\S]*"), trie), {1, 106});
  std::vector<uint64_t> mask(constraint.mask_words());
  constraint.fill_mask(mask);
  const std::vector<TokenId> ids = ids_of(mask);
  for (const TokenId id : ids) {
    const bool stop = id == 1 || id == 106;
    if (tokenizer->is_control(id) != stop) FAIL("control token " << id);
  }
  CHECK(ids.size() > 250000);
}

TEST_CASE("stop tokens are allowed where the answer may end, and alone where it must") {
  TokenConstraint constraint(masks_of(regex_grammar("ab?")), {kTestStop});
  std::vector<uint64_t> mask(constraint.mask_words());
  constraint.fill_mask(mask);
  CHECK_FALSE(constraint.can_end());
  for (const TokenId id : ids_of(mask)) CHECK(id != kTestStop);
  constraint.accept(TokenId{2} + 'a');
  CHECK(constraint.can_end());
  CHECK_FALSE(constraint.must_end());
  constraint.fill_mask(mask);
  CHECK(ids_of(mask).front() == kTestStop);
  constraint.accept(TokenId{2} + 'b');
  CHECK(constraint.must_end());
  CHECK(constraint.forced_token() == kTestStop);
  constraint.fill_mask(mask);
  CHECK(ids_of(mask) == std::vector<TokenId>{kTestStop});
  constraint.accept(kTestStop);
  CHECK(constraint.ended());
  constraint.fill_mask(mask);
  CHECK(ids_of(mask).empty());
  CHECK_FALSE(constraint.forced_token().has_value());
  CHECK_THROWS_AS(constraint.accept(kTestStop), Error);
}

TEST_CASE("a token is forced only where no other token is allowed") {
  // "xy" has the tokens x and y alone in this vocabulary; "ab" is a token beside a.
  TokenConstraint constraint(masks_of(regex_grammar("xyab")), {kTestStop});
  CHECK(constraint.forced_token() == TokenId{2} + 'x');
  constraint.accept(TokenId{2} + 'x');
  CHECK(constraint.forced_token() == TokenId{2} + 'y');
  constraint.accept(TokenId{2} + 'y');
  CHECK_FALSE(constraint.forced_token().has_value());
}

TEST_CASE("a token that is not allowed is not accepted") {
  TokenConstraint constraint(masks_of(regex_grammar("ab")), {kTestStop});
  CHECK_THROWS_AS(constraint.accept(TokenId{2} + 'b'), Error);
  CHECK_THROWS_AS(constraint.accept(0), Error);
  CHECK_THROWS_AS(constraint.accept(-1), Error);
  CHECK_THROWS_AS(constraint.accept(1 << 20), Error);
  CHECK_THROWS_AS(constraint.accept(kTestStop), Error);
}

TEST_CASE("a constraint goes back to an earlier position") {
  const auto masks = masks_of(json_schema_grammar(Json::parse(R"({"type": "array"})")));
  TokenConstraint constraint(masks, {kTestStop});
  constraint.accept(TokenId{2} + '[');
  const auto position = constraint.position();
  std::vector<uint64_t> before(constraint.mask_words()), after(constraint.mask_words());
  constraint.fill_mask(before);
  for (const char c : std::string("1,[2]]")) constraint.accept(TokenId{2} + c);
  constraint.accept(kTestStop);
  constraint.restore(position);
  CHECK_FALSE(constraint.ended());
  constraint.fill_mask(after);
  CHECK(before == after);
}

TEST_CASE("a character may be put together from byte tokens") {
  const auto grammar = std::make_shared<const Grammar>(regex_grammar("[é😀]+"));
  CHECK(fits(grammar, "é😀"));
  CHECK_FALSE(fits(grammar, "\xC3"));
  TokenConstraint constraint(masks_of(regex_grammar("é")), {kTestStop});
  CHECK(constraint.allows(TokenId{2} + 0xC3));
  constraint.accept(TokenId{2} + 0xC3);
  CHECK(constraint.forced_token() == TokenId{2} + 0xA9);
}

TEST_CASE("a vocabulary that cannot spell the grammar is an error") {
  const std::vector<std::string> pieces = {"", "", "a", "b"};
  TokenConstraint constraint(masks_of(regex_grammar("xa"), trie_of(pieces)), {kTestStop});
  std::vector<uint64_t> mask(constraint.mask_words());
  CHECK_THROWS_AS(constraint.fill_mask(mask), Error);
}

TEST_CASE("a grammar that can be read in too many ways is given up within bounds") {
  // Any number of pending tails at once.
  const auto masks =
      masks_of(gbnf_grammar("root ::= \"a\" root \"b\"? | \"a\" root \"c\"? | \"a\""));
  TokenConstraint constraint(masks, {kTestStop});
  std::vector<uint64_t> mask(constraint.mask_words());
  bool refused = false;
  for (int i = 0; i < 10000 && !refused; ++i) {
    try {
      constraint.fill_mask(mask);
      constraint.accept(TokenId{2} + 'a');
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::kUsage);
      refused = true;
    }
  }
  CHECK(refused);
}

TEST_CASE("a long answer of nested arrays keeps its place") {
  const auto grammar =
      std::make_shared<const Grammar>(json_schema_grammar(Json::parse(R"({"type": "array"})")));
  const std::string open(20000, '['), close(20000, ']');
  CHECK(fits(grammar, open + close));
  CHECK_FALSE(fits(grammar, open + close + "]"));
  CHECK_FALSE(fits(grammar, open + close.substr(1)));
}

}  // namespace
}  // namespace gemma4
