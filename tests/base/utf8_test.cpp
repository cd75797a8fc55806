#include "lib/base/utf8.h"

#include <doctest/doctest.h>

namespace gemma4 {

TEST_CASE("every code point is written and read back") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    std::string text;
    append_utf8(text, c);
    const CodePoint read = decode_utf8(text);
    REQUIRE(read.value == c);
    REQUIRE(read.length == text.size());
  }
}

TEST_CASE("ill-formed sequences are replaced as the Unicode standard recommends") {
  size_t replaced = 0;
  CHECK(replace_invalid_utf8("a\xC0\x80z", &replaced) == "a\uFFFD\uFFFDz");
  CHECK(replaced == 2);
  CHECK(replace_invalid_utf8("\xED\xA0\x80") == "\uFFFD\uFFFD\uFFFD");  // a surrogate
  CHECK(replace_invalid_utf8("\xF0\x9F\xA6") == "\uFFFD");              // cut short
  CHECK(replace_invalid_utf8("\xE2\x82(") == "\uFFFD(");
  CHECK(replace_invalid_utf8("\xF4\x90\x80\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD");
  CHECK(replace_invalid_utf8("plain \xC3\xA9", &replaced) == "plain \xC3\xA9");
  CHECK(replaced == 0);
}

TEST_CASE("an incomplete sequence is told from a wrong one") {
  CHECK(is_incomplete_utf8("\xF0\x9F\xA6"));
  CHECK(is_incomplete_utf8("\xC3"));
  CHECK_FALSE(is_incomplete_utf8("\xC3\xA9"));
  CHECK_FALSE(is_incomplete_utf8("\xFF"));
  CHECK_FALSE(is_incomplete_utf8("\xED\xA0"));
  CHECK_FALSE(is_incomplete_utf8(""));
}

}  // namespace gemma4
