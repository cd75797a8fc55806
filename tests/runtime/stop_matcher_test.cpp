#include "lib/runtime/stop_matcher.h"

#include <doctest/doctest.h>

namespace gemma4 {

TEST_CASE("a stop is found wherever the text is split") {
  const std::string text = "one two END three";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      StopMatcher matcher({"END", "never"});
      std::string out = matcher.push(text.substr(0, first));
      out += matcher.push(text.substr(first, second - first));
      out += matcher.push(text.substr(second));
      out += matcher.finish();
      CHECK(out == "one two ");
      CHECK(matcher.found());
    }
  }
}

TEST_CASE("only what may become a stop is held back") {
  StopMatcher matcher({"\n\n"});
  CHECK(matcher.push("a\n") == "a");
  CHECK(matcher.push("b") == "\nb");
  CHECK(matcher.push("\n") == "");
  CHECK(matcher.finish() == "\n");
  CHECK_FALSE(matcher.found());
}

TEST_CASE("the first of several stops counts") {
  StopMatcher matcher({"yz", "b"});
  CHECK(matcher.push("abyz") == "a");
  CHECK(matcher.cut("xyzb") == "x");
  CHECK(StopMatcher({}).push("all") == "all");
  CHECK(StopMatcher({""}).push("all") == "all");
}

}  // namespace gemma4
