#include "lib/text/tokenizer.h"

#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "lib/base/error.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

using Ids = std::vector<TokenId>;

std::unique_ptr<Tokenizer> tiny(const TinyTokenizerOptions& options = {}) {
  const ScratchDir scratch;
  write_tiny_tokenizer(scratch.path(), options);
  return Tokenizer::load(scratch.path(), false);
}

// The pieces of an encoding, for messages that can be read.
std::vector<std::string> shown(const Tokenizer& tokenizer, const Ids& ids) {
  std::vector<std::string> result;
  for (const TokenId id : ids) result.emplace_back(tokenizer.token_bytes(id));
  return result;
}

using Pieces = std::vector<std::string>;

// Compares equal to every text that contains it.
struct Contains {
  std::string part;
  friend bool operator==(const std::string& text, const Contains& wanted) {
    return text.find(wanted.part) != text.npos;
  }
  friend std::ostream& operator<<(std::ostream& out, const Contains& wanted) {
    return out << "text with " << wanted.part;
  }
};

std::string message_of_loading(const Json& document) {
  const ScratchDir scratch;
  std::ofstream(scratch.path() / "tokenizer.json") << document.dump();
  try {
    Tokenizer::load(scratch.path(), false);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::kModel);
    return error.what();
  }
  return "loaded";
}

TEST_CASE("both encoders merge the lowest rank first and fall back to bytes") {
  for (const bool every_split : {true, false}) {
    CAPTURE(every_split);
    const auto tokenizer = tiny({.every_split = every_split});
    const auto pieces = [&](std::string_view text) {
      return shown(*tokenizer, tokenizer->encode(text, false));
    };
    CHECK(pieces("") == Pieces{});
    CHECK(pieces("user") == Pieces{"user"});
    CHECK(pieces("model") == Pieces{"model"});
    // "th" goes before " t", and then " the" lacks a way there.
    CHECK(pieces(" the") == (every_split ? Pieces{" the"} : Pieces{" ", "th", "e"}));
    CHECK(pieces("thought") == Pieces{"thought"});
    CHECK(pieces("\n\n\n\n\n\n") == Pieces{"\n\n\n\n", "\n\n"});
    CHECK(pieces("a   b") == Pieces{"a", "   ", "b"});
    CHECK(pieces("ababab") == Pieces{"abab", "ab"});
    CHECK(pieces("é") == Pieces{"é"});
    CHECK(pieces("ö") == Pieces{"\xC3", "\xB6"});
    CHECK(pieces(std::string_view("\0", 1)) == Pieces{std::string(1, '\0')});
    CHECK(pieces("> <") == Pieces{"> <"});
    CHECK(pieces("<0x41>") == Pieces{"<", "0", "x", "4", "1", ">"});
    CHECK(pieces("\xFFö\xC3") == Pieces{"\uFFFD", "\xC3", "\xB6", "\uFFFD"});
    CHECK(tokenizer->encode("a\u2581b", false) == tokenizer->encode("a b", false));
  }
}

TEST_CASE("the two encoders agree on random text where every split is a merge") {
  // One unreachable token more, with a split that is no merge, is enough to go by rank.
  Json document = tiny_tokenizer_json();
  document["model"]["vocab"]["xy"] = document["model"]["vocab"].size();
  const ScratchDir scratch;
  std::ofstream(scratch.path() / "tokenizer.json") << document.dump();
  const auto by_rank = Tokenizer::load(scratch.path(), false);
  const auto by_library = tiny();
  std::mt19937 random(1);
  const std::vector<std::string> units = {"a", "b", "t", "h", " ", "\n", "ought", "é", "user",
                                          ">", "<", "d", "l", "e", "m",  "o",     "ö", "\uFFFD"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (size_t n = random() % 60; n > 0; --n) text += units[random() % units.size()];
    REQUIRE(by_rank->encode(text, false) == by_library->encode(text, false));
    REQUIRE(by_rank->decode(by_rank->encode(text, false), false) == text);
  }
}

TEST_CASE("a long text is encoded as if in one piece") {
  for (const bool every_split : {true, false}) {
    const auto tokenizer = tiny({.every_split = every_split});
    // Cut points are rare: only between "b" and what follows.
    std::string text;
    Ids expected;
    for (int i = 0; i < 3000; ++i) {
      const std::string unit = std::string(1 + i % 7, ' ') + "the";
      const Ids ids = tokenizer->encode(unit + "9", false);
      expected.insert(expected.end(), ids.begin(), ids.end());
      text += unit + "9";
    }
    CHECK(tokenizer->encode(text, false) == expected);
    // No cut points at all.
    const Ids ids = tokenizer->encode(std::string(100001, '\n'), false);
    CHECK(ids.size() == 25001);
  }
}

TEST_CASE("control tokens are recognised where the text is trusted, the longest first") {
  const auto tokenizer = tiny();
  const TokenId turn = tokenizer->control_id("<|turn>").value();
  const TokenId image = tokenizer->control_id("<|image>").value();
  const TokenId placeholder = tokenizer->control_id("<|image|>").value();
  CHECK(turn != tokenizer->control_id("<turn|>").value());
  CHECK_FALSE(tokenizer->control_id("<|nothing|>").has_value());
  CHECK_FALSE(tokenizer->control_id("user").has_value());
  CHECK(tokenizer->encode("<|turn>user", true).front() == turn);
  CHECK(tokenizer->encode("<|turn>user", true).size() == 2);
  CHECK(tokenizer->encode("<|image|>", true) == Ids{placeholder});
  CHECK(tokenizer->encode("<|image><|image|>", true) == Ids{image, placeholder});
  CHECK(tokenizer->encode("<|turn", true).size() == 6);
  CHECK(tokenizer->encode("<|turn>", false).size() == 7);
  for (const TokenId id : tokenizer->encode("<bos><unk><|turn>", false)) {
    CHECK_FALSE(tokenizer->is_control(id));
  }
}

TEST_CASE("a control token is never put together from untrusted characters") {
  const auto tokenizer = tiny();
  const TokenId turn = tokenizer->control_id("<|turn>").value();
  const auto encode = [&](std::vector<TextSpan> spans) { return tokenizer->encode(spans); };
  CHECK(encode({{"<|tu", true}, {"rn>", true}}) == Ids{turn});
  CHECK(encode({{"<|tu", true}, {"", false}, {"rn>", true}}) == Ids{turn});
  const Ids spelled = tokenizer->encode("<|turn>", false);
  CHECK(encode({{"<|turn>", false}}) == spelled);
  CHECK(encode({{"<|tu", true}, {"rn>", false}}) == spelled);
  CHECK(encode({{"<|tu", false}, {"rn>", true}}) == spelled);
  CHECK(encode({{"<|t", true}, {"u", false}, {"rn>", true}}) == spelled);
  // A longer spelling that is not all trusted does not hide a shorter one that is.
  const TokenId image = tokenizer->control_id("<|image>").value();
  CHECK(encode({{"<|image>", true}, {"|>", false}}).front() == image);
  CHECK(encode({{"<|image", true}, {"|>", false}}) == tokenizer->encode("<|image|>", false));
}

TEST_CASE("neighbours merge across span borders") {
  const auto tokenizer = tiny();
  const std::vector<TextSpan> spans = {
      {"us", true}, {"er t", false}, {"he\n", true}, {"\n", false}};
  CHECK(tokenizer->encode(spans) == tokenizer->encode("user the\n\n", false));
  // Even inside a character.
  const std::vector<TextSpan> halves = {{"\xC3", true}, {"\xA9", false}};
  CHECK(tokenizer->encode(halves) == tokenizer->encode("é", false));
}

TEST_CASE("tokens know what they are") {
  const auto tokenizer = tiny({.unused_tokens = 3});
  CHECK(tokenizer->vocab_size() == 24 + 256 + 30 + 94 + 8 + 3);
  CHECK(tokenizer->is_byte(24 + 0x41));
  CHECK(tokenizer->token_bytes(24 + 0x41) == "A");
  CHECK(tokenizer->token_bytes(24) == std::string_view("\0", 1));
  CHECK(tokenizer->token_bytes(2) == "<bos>");
  CHECK(tokenizer->is_control(2));
  CHECK_FALSE(tokenizer->is_control(24));
  CHECK_FALSE(tokenizer->is_control(-1));
  CHECK_FALSE(tokenizer->is_byte(1 << 20));
  const auto last = static_cast<TokenId>(tokenizer->vocab_size() - 1);
  CHECK(tokenizer->token_bytes(last) == "<unused2>");
  CHECK(tokenizer->decode(Ids{last}, true) == "<unused2>");
  CHECK_THROWS_AS(tokenizer->token_bytes(last + 1), Error);
  CHECK_THROWS_AS(tokenizer->token_bytes(-1), Error);
  CHECK_FALSE(tokenizer->adds_bos());
  CHECK(tiny({.adds_bos = true})->adds_bos());
}

TEST_CASE("a run of byte tokens that is not UTF-8 as a whole decodes to one U+FFFD a byte") {
  const auto tokenizer = tiny();
  const auto byte = [](int value) { return TokenId{24 + value}; };
  const auto decode = [&](const Ids& ids) { return tokenizer->decode(ids, true); };
  CHECK(decode({byte(0xC3), byte(0xA9)}) == "é");
  CHECK(decode({byte(0xC3), byte(0xA9), byte(0xFF)}) == "\uFFFD\uFFFD\uFFFD");
  CHECK(decode({byte(0xC3), TokenId{2}, byte(0xA9)}) == "\uFFFD\uFFFD");
  CHECK(tokenizer->decode(Ids{byte(0xC3), TokenId{2}}, false) == "\uFFFD<bos>");
}

TEST_CASE("added tokens that are not special are recognised in every text") {
  Json document = tiny_tokenizer_json();
  const size_t id = document["model"]["vocab"].size();
  document["added_tokens"].push_back({{"id", id},
                                      {"content", "<b>"},
                                      {"single_word", false},
                                      {"lstrip", false},
                                      {"rstrip", false},
                                      {"normalized", false},
                                      {"special", false}});
  const ScratchDir scratch;
  std::ofstream(scratch.path() / "tokenizer.json") << document.dump();
  const auto tokenizer = Tokenizer::load(scratch.path(), false);
  CHECK(shown(*tokenizer, tokenizer->encode("a<b>a", false)) == Pieces{"a", "<b>", "a"});
  CHECK(tokenizer->decode(tokenizer->encode("<b><bos>", true), true) == "<b>");
  CHECK_FALSE(tokenizer->control_id("<b>").has_value());
}

TEST_CASE("what Gemma's tokenizers do not have is refused by name") {
  const auto changed = [](auto change) {
    Json document = tiny_tokenizer_json();
    change(document);
    return message_of_loading(document);
  };
  CHECK(changed([](Json&) {}) == "loaded");
  CHECK(changed([](Json& d) { d["normalizer"] = {{"type", "NFC"}}; }) == Contains{"\"NFC\""});
  CHECK(changed([](Json& d) { d["normalizer"]["content"] = "_"; }) == Contains{"normalizer"});
  CHECK(changed([](Json& d) { d["normalizer"] = nullptr; }) == Contains{"normalizer"});
  CHECK(changed([](Json& d) { d["pre_tokenizer"]["type"] = "ByteLevel"; }) ==
        Contains{"ByteLevel"});
  CHECK(changed([](Json& d) { d["pre_tokenizer"] = nullptr; }) == "loaded");
  CHECK(changed([](Json& d) { d["decoder"]["type"] = "Metaspace"; }) == Contains{"Metaspace"});
  CHECK(changed([](Json& d) { d["decoder"]["decoders"].erase(1); }) == Contains{"decoder"});
  CHECK(changed([](Json& d) { d["post_processor"]["type"] = "BertProcessing"; }) ==
        Contains{"BertProcessing"});
  CHECK(changed([](Json& d) { d["post_processor"]["single"] = Json::array(); }) ==
        Contains{"post_processor"});
  CHECK(changed([](Json& d) { d["model"]["type"] = "Unigram"; }) == Contains{"Unigram"});
  CHECK(changed([](Json& d) { d["model"]["byte_fallback"] = false; }) == Contains{"byte_fallback"});
  CHECK(changed([](Json& d) { d["model"]["dropout"] = 0.1; }) == Contains{"dropout"});
  CHECK(changed([](Json& d) { d["model"]["ignore_merges"] = true; }) == Contains{"ignore_merges"});
  CHECK(changed([](Json& d) { d["model"]["surprise"] = 1; }) == Contains{"surprise"});
  CHECK(changed([](Json& d) { d["surprise"] = 1; }) == Contains{"surprise"});
  CHECK(changed([](Json& d) { d.erase("model"); }) == Contains{"model"});
  CHECK(changed([](Json& d) { d["added_tokens"][0]["lstrip"] = true; }) == Contains{"lstrip"});
  CHECK(changed([](Json& d) { d["added_tokens"][0]["id"] = 1; }) == Contains{"<pad>"});
  CHECK(changed([](Json& d) { d["added_tokens"][0]["id"] = -1; }) == Contains{"<pad>"});
}

TEST_CASE("a vocabulary or merge list that does not hold together is refused") {
  const auto changed = [](auto change) {
    Json document = tiny_tokenizer_json();
    change(document["model"]);
    return message_of_loading(document);
  };
  CHECK(changed([](Json& m) { m["vocab"]["zz"] = 5000; }) == Contains{"zz"});
  CHECK(changed([](Json& m) { m["vocab"]["zz"] = -1; }) == Contains{"zz"});
  CHECK(changed([](Json& m) { m["vocab"]["zz"] = "1"; }) == Contains{"vocabulary id"});
  CHECK(changed([](Json& m) { m["vocab"]["zz"] = 30; }) == Contains{"zz"});
  CHECK(changed([](Json& m) { m["vocab"]["zz"] = m["vocab"].size() + 1; }) == Contains{"no token"});
  CHECK(changed([](Json& m) {
          m["vocab"]["<0x41>x"] = m["vocab"]["<0x41>"];
          m["vocab"].erase("<0x41>");
        }) == Contains{"<0x41>"});
  CHECK(changed([](Json& m) { m["unk_token"] = "<none>"; }) == Contains{"<none>"});
  CHECK(changed([](Json& m) { m["merges"].push_back({"q", "q"}); }) == Contains{"\"qq\""});
  CHECK(changed([](Json& m) { m["merges"].push_back({"é", "q", "q"}); }) == Contains{"merge"});
  CHECK(changed([](Json& m) { m["merges"].push_back(7); }) == Contains{"merge"});
  CHECK(changed([](Json& m) { m["merges"].push_back(m["merges"][0]); }) == Contains{"twice"});
  CHECK(changed([](Json& m) { m["merges"].push_back({"<bo", "s>"}); }) == Contains{"<bo"});
  CHECK(changed([](Json& m) {
          for (Json& merge : m["merges"]) {
            merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
          }
        }) == "loaded");
}

TEST_CASE("a file that is missing or is not JSON is a model error") {
  const ScratchDir scratch;
  CHECK_FALSE(Tokenizer::present(scratch.path()));
  CHECK_THROWS_AS(Tokenizer::load(scratch.path(), false), Error);
  std::ofstream(scratch.path() / "tokenizer.model") << "x";
  CHECK_THROWS_WITH_AS(Tokenizer::load(scratch.path(), false), doctest::Contains("tokenizer.model"),
                       Error);
  for (const char* text : {"", "{", "[]", "null", "{}", "{\"model\": \xFF}"}) {
    std::ofstream(scratch.path() / "tokenizer.json") << text;
    CHECK_THROWS_AS(Tokenizer::load(scratch.path(), false), Error);
  }
}

}  // namespace
}  // namespace gemma4
