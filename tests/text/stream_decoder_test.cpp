#include <doctest/doctest.h>

#include <random>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/tokenizer.h"
#include "tests/support/scratch_dir.h"
#include "tests/support/tiny_tokenizer.h"

namespace gemma4 {
namespace {

std::unique_ptr<Tokenizer> tiny() {
  const ScratchDir scratch;
  write_tiny_tokenizer(scratch.path());
  return Tokenizer::load(scratch.path(), false);
}

TokenId byte(int value) { return 24 + value; }

// What each push gives, and finish().
std::vector<std::string> streamed(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  StreamDecoder decoder(tokenizer);
  std::vector<std::string> result;
  for (const TokenId id : ids) result.push_back(decoder.push(id));
  result.push_back(decoder.finish());
  return result;
}

using Texts = std::vector<std::string>;

TEST_CASE("a character made of byte tokens appears when it is complete") {
  const auto tokenizer = tiny();
  CHECK(streamed(*tokenizer, {byte(0xF0), byte(0x9F), byte(0x9A), byte(0x80), byte('A')}) ==
        Texts{"", "", "", "🚀", "A", ""});
}

TEST_CASE("bytes that lead nowhere become U+FFFD as soon as that is certain") {
  const auto tokenizer = tiny();
  CHECK(streamed(*tokenizer, {byte(0xC3), byte(0xA9), byte(0xFF)}) == Texts{"", "é", "\uFFFD", ""});
  CHECK(streamed(*tokenizer, {byte(0xE2), byte(0x82), byte('A')}) ==
        Texts{"", "", "\uFFFD\uFFFDA", ""});
  CHECK(streamed(*tokenizer, {byte(0xE2), byte(0xC3), byte(0xA9)}) == Texts{"", "\uFFFD", "é", ""});
}

TEST_CASE("waiting bytes give one U+FFFD each before other tokens and at the end") {
  const auto tokenizer = tiny();
  const TokenId x = tokenizer->encode("x", false)[0];
  CHECK(streamed(*tokenizer, {byte(0xE2), byte(0x82), x}) == Texts{"", "", "\uFFFD\uFFFDx", ""});
  CHECK(streamed(*tokenizer, {byte(0xE2), TokenId{2}, x}) == Texts{"", "\uFFFD", "x", ""});
  CHECK(streamed(*tokenizer, {x, byte(0xE2), byte(0x82)}) == Texts{"x", "", "", "\uFFFD\uFFFD"});
}

TEST_CASE("streamed text is the batch text when the bytes are good, and always valid UTF-8") {
  const auto tokenizer = tiny();
  std::mt19937 random(1);
  const std::string good = "the é 世界 🚀 ö\n\n  thought ß\u0301";
  std::string joined;
  const auto ids = tokenizer->encode(good, false);
  for (const std::string& text : streamed(*tokenizer, ids)) joined += text;
  CHECK(joined == good);
  CHECK(tokenizer->decode(ids, true) == good);
  for (int round = 0; round < 2000; ++round) {
    std::vector<TokenId> noise;
    for (size_t n = random() % 30; n > 0; --n) {
      const bool any_byte = random() % 2 == 0;
      noise.push_back(any_byte ? byte(static_cast<int>(0x80 + random() % 0x80))
                               : static_cast<TokenId>(random() % tokenizer->vocab_size()));
    }
    for (const std::string& text : streamed(*tokenizer, noise)) REQUIRE(is_valid_utf8(text));
  }
}

TEST_CASE("an id that does not exist is an input error") {
  const auto tokenizer = tiny();
  StreamDecoder decoder(*tokenizer);
  CHECK_THROWS_AS(decoder.push(-1), Error);
  CHECK_THROWS_AS(decoder.push(static_cast<TokenId>(tokenizer->vocab_size())), Error);
}

}  // namespace
}  // namespace gemma4
