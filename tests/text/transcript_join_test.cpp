#include "lib/text/transcript_join.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

std::string join(std::string_view left, std::string_view right, size_t max_shared = 12) {
  const TranscriptSeam seam = find_transcript_seam(left, right, max_shared);
  std::string text = std::string(left.substr(0, seam.left_end)) + std::string(seam.bridge);
  append_transcript(text, right.substr(seam.right_begin));
  return text;
}

using Words = std::vector<std::string>;

std::string text_of(const Words& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

Words slice(const Words& words, size_t begin, size_t end) {
  return {words.begin() + static_cast<ptrdiff_t>(begin),
          words.begin() + static_cast<ptrdiff_t>(end)};
}

/// Words that are unlike each other.
Words random_words(size_t count, std::mt19937& random) {
  Words words;
  for (size_t i = 0; i < count; ++i) {
    std::string word;
    for (int letter = 0; letter < 9; ++letter) word += static_cast<char>('a' + random() % 26);
    words.push_back(word);
  }
  return words;
}

}  // namespace

TEST_CASE("words that both stretches heard come once") {
  CHECK(join("so we went down to the river", "to the river and swam") ==
        "so we went down to the river and swam");
  CHECK(join("one two", "two three") == "one two three");
  CHECK(join("all of it", "all of it") == "all of it");
}

TEST_CASE("case and punctuation do not keep words apart, nor hide what follows") {
  CHECK(join("and then he said.", "He said, never again.") == "and then he said, never again.");
  CHECK(join("I don't know.", "Don't know why") == "I don't know why");
  CHECK(join("we met in the café,", "In the CAFÉ \"Central\" at noon") ==
        "we met in the CAFÉ \"Central\" at noon");
  CHECK(join("das war die große Straße.", "Die GROSSE Straße ist leer") ==
        "das war die große Straße ist leer");
  CHECK(join("он пошёл в Лес", "В лес и не вернулся") == "он пошёл в лес и не вернулся");
}

TEST_CASE("a word cut off at the end of a stretch is taken from the other one") {
  CHECK(join("I went to the super", "to the supermarket and back") ==
        "I went to the supermarket and back");
  CHECK(join("they came from the mountains", "tains came from the mountains at night") ==
        "they came from the mountains at night");
  CHECK(join("down to the super", "supermarket and back") == "down to the supermarket and back");
  CHECK(join("in the mountains", "tains at night") == "in the mountains at night");
  CHECK(join("tell the", "then he went") == "tell the then he went");
}

TEST_CASE("an overlap heard a little differently is still found") {
  CHECK(
      join("the colour of the sky was grey today", "the color of the sky was great day and cold") ==
      "the colour of the sky was great day and cold");
  CHECK(join("she bought three red apples and", "she brought three red apples and pears") ==
        "she bought three red apples and pears");
  CHECK(join("we left at noon um", "left at noon and ate") == "we left at noon and ate");
}

TEST_CASE("texts that share nothing are kept whole, in order") {
  CHECK(join("the first part", "a second one") == "the first part a second one");
  CHECK(join("feed the dog", "the cat sleeps") == "feed the dog the cat sleeps");
  CHECK(join("give it to me", "to be or not") == "give it to me to be or not");
  CHECK(join("", "only this") == "only this");
  CHECK(join("only that", "") == "only that");
  CHECK(join("", "") == "");
  CHECK(join("...", "words") == "... words");
  CHECK(join("words", "—") == "words —");
}

TEST_CASE("repeated words are aligned as long as they can be") {
  CHECK(join("he said no no no", "no no no and left") == "he said no no no and left");
  CHECK(join("no no no", "no no") == "no no no");
  CHECK(join("no, no, no, no", "No, no. Yes", 2) == "no, no, no, no. Yes");
}

TEST_CASE("without sound in the overlap nothing is taken for shared") {
  CHECK(join("he said no", "no is no answer", 0) == "he said no no is no answer");
}

TEST_CASE("scripts without blanks are joined by character, without blanks") {
  CHECK(join("今日は天気がいいですね。", "いいですね、散歩に行きましょう") ==
        "今日は天気がいいですね、散歩に行きましょう");
  CHECK(join("我们明天去北京", "明天去北京看长城") == "我们明天去北京看长城");
  CHECK(join("我们明天", "去北京") == "我们明天去北京");
  CHECK(join("你好。", "再见。") == "你好。再见。");
  CHECK(join("ฉันไปตลาด", "ไปตลาดเมื่อวาน") == "ฉันไปตลาดเมื่อวาน");
  CHECK(join("우리는 내일 서울에", "내일 서울에 갑니다") == "우리는 내일 서울에 갑니다");
}

TEST_CASE("stretches cut from one text give it back, whatever the overlaps") {
  std::mt19937 random(11);
  for (int round = 0; round < 400; ++round) {
    const Words source = random_words(30 + random() % 200, random);
    std::string joined;
    std::string rest;  // of the last stretch
    size_t end = 0;
    while (end < source.size()) {
      const size_t shared = end == 0 ? 0 : random() % 9;
      const size_t begin = end - std::min(shared, end);
      end = std::min(source.size(), end + 10 + random() % 20);
      const std::string stretch = text_of(slice(source, begin, end));
      const TranscriptSeam seam = find_transcript_seam(rest, stretch, 10);
      append_transcript(joined, rest.substr(0, seam.left_end) + std::string(seam.bridge));
      rest = stretch.substr(seam.right_begin);
    }
    append_transcript(joined, rest);
    REQUIRE(joined == text_of(source));
  }
}

TEST_CASE("whatever was heard in the overlap, no word outside of it is lost or doubled") {
  std::mt19937 random(12);
  for (int round = 0; round < 2000; ++round) {
    const size_t shared = random() % 8;
    const Words source = random_words(40, random);
    Words left = slice(source, 0, 20 + shared);
    Words right = slice(source, 20, 40);
    const auto garble = [&](Words& words, size_t begin) {
      for (size_t i = 0; i < shared; ++i) {
        std::string& word = words[begin + i];
        switch (random() % 6) {
          case 0:
            word = random_words(1, random)[0];
            break;
          case 1:
            word[random() % word.size()] = 'q';
            break;
          case 2:
            std::transform(word.begin(), word.end(), word.begin(), ::toupper);
            word += ',';
            break;
          default:
            break;
        }
      }
    };
    garble(left, 20);
    garble(right, 0);
    const std::string joined = join(text_of(left), text_of(right), 10);
    CAPTURE(text_of(left));
    CAPTURE(text_of(right));
    const std::string before = text_of(slice(source, 0, 20));
    const std::string after = text_of(slice(source, 20 + shared, 40));
    REQUIRE(joined.starts_with(before));
    REQUIRE(joined.ends_with(after));
  }
}

TEST_CASE("text that is settled stays whatever follows") {
  std::mt19937 random(13);
  for (int round = 0; round < 1000; ++round) {
    // Few words, so that they match by chance too.
    Words words;
    for (int i = 0; i < 30; ++i)
      words.push_back(std::string(1, static_cast<char>('a' + random() % 3)));
    const std::string left = text_of(slice(words, 0, 5 + random() % 10));
    const std::string right = text_of(slice(words, 15, 15 + random() % 15));
    const size_t shared = random() % 6;
    const std::string settled = left.substr(0, settled_transcript(left, shared));
    REQUIRE(join(left, right, shared).starts_with(settled));
  }
  CHECK(settled_transcript("one two three four", 2) == std::string("one two ").size());
  CHECK(settled_transcript("one two", 2) == 0);
  CHECK(settled_transcript("one two.", 0) == std::string("one two.").size());
}

TEST_CASE("texts of any bytes are joined in bounded time") {
  std::mt19937 random(14);
  for (int round = 0; round < 200; ++round) {
    std::string left, right;
    for (int i = 0; i < 300; ++i) {
      append_utf8(left, random() % 3 == 0 ? random() % 0xD800 : random() % 0x60 + 0x20);
      append_utf8(right, random() % 3 == 0 ? random() % 0xD800 : random() % 0x60 + 0x20);
    }
    const std::string joined = join(left, right, 1000);
    CHECK(is_valid_utf8(joined));
  }
}

}  // namespace gemma4
