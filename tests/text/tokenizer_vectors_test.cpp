// The full vocabulary against recorded encodings, and the two encoders against each other.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

#include "lib/io/json.h"
#include "lib/text/tokenizer.h"
#include "lib/text/tokenizer_json.h"
#include "lib/text/tokenizer_merges.h"
#include "lib/text/tokenizer_model.h"
#include "lib/text/tokenizer_proto.h"
#include "lib/text/tokenizer_sentencepiece.h"
#include "tests/support/golden_files.h"

namespace gemma4 {
namespace {

using Ids = std::vector<TokenId>;

// Loaded once for all tests of this file; null when the data is not here.
const Tokenizer* official() {
  static const std::unique_ptr<Tokenizer> tokenizer = [] {
    const auto path = shared_path("data/tokenizer/tokenizer.json");
    return path.empty() ? nullptr : Tokenizer::load(path.parent_path(), false);
  }();
  if (tokenizer == nullptr) MESSAGE("SKIPPED: needs the official tokenizer.json");
  return tokenizer.get();
}

Json cases_of(const std::string& name) {
  return read_json_file(vector_path("chat/" + name), ErrorKind::kInput)["cases"];
}

// Text that looks like many things, to exercise merges of all kinds.
std::string random_text(std::mt19937& random, const Tokenizer& tokenizer) {
  std::string text;
  const int style = static_cast<int>(random() % 5);
  for (size_t n = 1 + random() % 200; n > 0; --n) {
    if (style == 0) {  // pieces
      text += tokenizer.token_bytes(static_cast<TokenId>(494 + random() % 255000));
    } else if (style == 1) {  // few letters
      text += "ab \nthe"[random() % 7];
    } else if (style == 2) {  // runs
      text.append(1 + random() % 70, " \n\t-=a"[random() % 6]);
    } else if (style == 3) {  // code
      static constexpr const char* kParts[] = {"> </",   "</b>", "{\"", "\": ", "    ",
                                               "return", "\n\n", "();", " // ", "é",
                                               "世界",   "Ü",    "0"};
      text += kParts[random() % 13];
    } else {
      text += static_cast<char>(' ' + random() % 95);
    }
  }
  return text;
}

TEST_CASE("the official vocabulary encodes and decodes every recorded text") {
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  int compared = 0;
  for (const Json& test : cases_of("tokenizer_cases.json")) {
    CAPTURE(test["id"]);
    const auto text = test["text"].get<std::string>();
    const auto ids = test["ids"].get<Ids>();
    CHECK(tokenizer->encode(text, true) == ids);
    if (test.contains("decoded")) {
      CHECK(tokenizer->decode(ids, false) == test["decoded"].get<std::string>());
    }
    const char* literal = test.contains("ids_literal_specials") ? "ids_literal_specials" : "ids";
    CHECK(tokenizer->encode(text, false) == test[literal].get<Ids>());
    ++compared;
  }
  CHECK(compared == 109);
}

TEST_CASE("the official vocabulary decodes every recorded id sequence") {
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  int compared = 0;
  for (const Json& test : cases_of("decode_cases.json")) {
    CAPTURE(test["id"]);
    const auto ids = test["ids"].get<Ids>();
    CHECK(tokenizer->decode(ids, false) == test["text"].get<std::string>());
    CHECK(tokenizer->decode(ids, true) == test["text_skip_special"].get<std::string>());
    ++compared;
  }
  CHECK(compared == 17);
}

TEST_CASE("the official vocabulary has the ids of the specification") {
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  CHECK(tokenizer->vocab_size() == 262144);
  CHECK_FALSE(tokenizer->adds_bos());
  CHECK(tokenizer->control_id("<|turn>") == 105);
  CHECK(tokenizer->control_id("<|\"|>") == 52);
  CHECK(tokenizer->control_id("<|video|>") == 258884);
  CHECK_FALSE(tokenizer->control_id("<table>").has_value());
  int controls = 0, bytes = 0;
  for (TokenId id = 0; id < tokenizer->vocab_size(); ++id) {
    controls += tokenizer->is_control(id);
    bytes += tokenizer->is_byte(id);
  }
  CHECK(controls == 24);
  CHECK(bytes == 256);
  CHECK(tokenizer->token_bytes(168) == "<table>");
  CHECK(tokenizer->token_bytes(238 + 0xFF) == "\xFF");
}

TEST_CASE("the official vocabulary encodes in sentencepiece as by merge rank, whole or in parts") {
  const auto path = shared_path("data/tokenizer/tokenizer.json");
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  const TokenizerFile file =
      parse_tokenizer_json(read_file(path, ErrorKind::kModel), path.string());
  const auto runs = sentencepiece_equivalent(file);
  REQUIRE(runs.has_value());
  CHECK(runs->characters == std::vector<std::string>{"\t", "\n", "\u2581"});
  CHECK(runs->longest == 31);
  CHECK(runs->merges.size() == 3 * 30 * 31 / 2);
  const auto library = sentencepiece_encoder(sentencepiece_proto(file));
  REQUIRE(library != nullptr);
  const MergeEncoder by_rank(file, file.merges);
  const TokenizerModel model = tokenizer_model(file);

  std::mt19937 random(2);
  for (int round = 0; round < 3000; ++round) {
    const std::string text = random_text(random, *tokenizer);
    CAPTURE(text);
    Ids expected, actual, in_parts;
    by_rank.encode(text, expected);
    library->encode(text, actual);
    REQUIRE(actual == expected);
    // Parts as small as can be: every exact cut point is used.
    for (std::string_view rest = text; !rest.empty();) {
      const size_t end = end_of_part(model, rest, 1);
      library->encode(rest.substr(0, end), in_parts);
      rest.remove_prefix(end);
    }
    REQUIRE(in_parts == expected);
  }
  // Both facts of the specification about where pieces end.
  CHECK(end_of_part(model, "ab\ncd", 1) == 2);
  CHECK(end_of_part(model, "ab cd", 1) == 2);
  CHECK(end_of_part(model, "> </b", 1) > 1);
}

TEST_CASE("spans of many origins encode as their joined text") {
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    const std::string text = random_text(random, *tokenizer);
    std::vector<TextSpan> spans;
    for (size_t at = 0; at < text.size();) {
      const size_t length = 1 + random() % 20;
      spans.push_back({text.substr(at, length), random() % 2 == 0});
      at += length;
    }
    REQUIRE(tokenizer->encode(spans) == tokenizer->encode(text, false));
  }
}

TEST_CASE("a very long line is encoded in time that grows with its length") {
  const Tokenizer* tokenizer = official();
  if (tokenizer == nullptr) return;
  // The best of three: other work on the machine only adds.
  const auto seconds = [&](const std::string& text) {
    double best = 1e9;
    for (int i = 0; i < 3; ++i) {
      const auto start = std::chrono::steady_clock::now();
      CHECK(!tokenizer->encode(text, false).empty());
      const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
      best = std::min(best, taken.count());
    }
    return best;
  };
  // Without any place to cut. Quadratic time would be 256 times as long.
  const double small = seconds(std::string(1 << 14, 'a'));
  const double large = seconds(std::string(1 << 18, 'a'));
  MESSAGE(fmt::format("16 KiB: {:.1f} ms, 256 KiB: {:.1f} ms", small * 1e3, large * 1e3));
  CHECK(large < 100 * (small + 1e-3));
}

}  // namespace
}  // namespace gemma4
