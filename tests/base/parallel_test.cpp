#include "lib/base/parallel.h"

#include <doctest/doctest.h>

#include <numeric>
#include <stdexcept>
#include <vector>

namespace gemma4 {

TEST_CASE("loops cover every index once, for any number of threads") {
  for (const int threads : {1, 2, 5}) {
    set_num_threads(threads);
    for (const int64_t count : {0, 1, 7, 64, 1000}) {
      for (const int64_t grain : {1, 3, 64}) {
        std::vector<int> hits(static_cast<size_t>(count), 0);
        parallel_ranges(count, grain, [&](int64_t begin, int64_t end) {
          CHECK(begin % grain == 0);
          CHECK(thread_index() < threads);
          for (int64_t i = begin; i < end; ++i) ++hits[static_cast<size_t>(i)];
        });
        CHECK(std::accumulate(hits.begin(), hits.end(), int64_t{0}) == count);
      }
      std::vector<int> hits(static_cast<size_t>(count), 0);
      parallel_items(count, [&](int64_t i) { ++hits[static_cast<size_t>(i)]; });
      CHECK(std::accumulate(hits.begin(), hits.end(), int64_t{0}) == count);
    }
  }
}

TEST_CASE("an exception in a loop reaches the caller, and the threads live on") {
  set_num_threads(3);
  for (int round = 0; round < 100; ++round) {
    CHECK_THROWS_AS(parallel_items(10,
                                   [](int64_t i) {
                                     if (i == 7) throw std::runtime_error("seven");
                                   }),
                    std::runtime_error);
  }
  std::atomic<int> count{0};
  parallel_items(10, [&](int64_t) { ++count; });
  CHECK(count == 10);
}

TEST_CASE("a loop inside a loop runs on its own thread") {
  set_num_threads(2);
  std::atomic<int> count{0};
  parallel_items(4, [&](int64_t) {
    const int thread = thread_index();
    parallel_items(5, [&](int64_t) {
      CHECK(thread_index() == thread);
      ++count;
    });
  });
  CHECK(count == 20);
  CHECK_FALSE(in_parallel_loop());
}

}  // namespace gemma4
