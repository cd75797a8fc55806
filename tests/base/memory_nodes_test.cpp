#include "lib/base/memory_nodes.h"

#include <doctest/doctest.h>

#include <vector>

namespace gemma4 {
namespace {

TEST_CASE("lists of memory nodes are read as the kernel writes them") {
  CHECK(parse_node_list("0\n") == std::vector<int>{0});
  CHECK(parse_node_list("0-3") == std::vector<int>{0, 1, 2, 3});
  CHECK(parse_node_list("0-1,4,6-7\n") == std::vector<int>{0, 1, 4, 6, 7});
  CHECK(parse_node_list("").empty());
}

TEST_CASE("what is no list of nodes is none") {
  for (const char* text : {"x", "0-", "-1", "3-1", "0,", ",0", "0,,1", "0 1", "1024", "0-99999",
                           "1,0", "0-2,2", "99999999999999999999"}) {
    CAPTURE(text);
    CHECK(parse_node_list(text).empty());
  }
}

}  // namespace
}  // namespace gemma4
