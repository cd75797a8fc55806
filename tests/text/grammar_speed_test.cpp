// How long masks over Gemma's 262,144 tokens take, in processor time of one thread: documents as a
// model writes them, each followed from a cold start.
#include <doctest/doctest.h>
#include <time.h>

#include <algorithm>

#include "lib/text/grammar/json_schema.h"
#include "lib/text/grammar/regex_parser.h"
#include "lib/text/tokenizer.h"
#include "tests/support/golden_files.h"
#include "tests/text/grammar_tools.h"

namespace gemma4 {
namespace {

double thread_microseconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Timing {
  std::vector<double> masks;  // microseconds, one a token
  double compile = 0.0;
};

Timing follow(const std::shared_ptr<const TokenTrie>& trie, const Tokenizer& tokenizer,
              const Json& document) {
  const Json& schema = document["schema"];
  const std::string text = document.contains("text")        ? document["text"].get<std::string>()
                           : document["pretty"].get<bool>() ? document["value"].dump(2)
                                                            : document["value"].dump();
  Timing timing;
  double begin = thread_microseconds();
  const auto masks = masks_of(
      schema.is_string() ? regex_grammar(schema.get<std::string>()) : json_schema_grammar(schema),
      trie);
  TokenConstraint constraint(masks, {1, 106});
  timing.compile = thread_microseconds() - begin;
  std::vector<uint64_t> mask(constraint.mask_words());
  for (const TokenId id : tokenizer.encode(text, false)) {
    begin = thread_microseconds();
    constraint.fill_mask(mask);
    timing.masks.push_back(thread_microseconds() - begin);
    REQUIRE((mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) == 1);
    constraint.accept(id);
  }
  CHECK(constraint.can_end());
  return timing;
}

double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1,
                         static_cast<size_t>(share * static_cast<double>(values.size())))];
}

TEST_CASE(
    "a token mask takes under 50 microseconds at the median and 1 ms at the 99th percentile") {
  const auto file = shared_path("data/tokenizer/tokenizer.json");
  if (file.empty()) return;
  const auto tokenizer = Tokenizer::load(file.parent_path());
  const double begin = thread_microseconds();
  const auto trie = std::make_shared<const TokenTrie>(*tokenizer);
  MESSAGE("trie of " << trie->node_count() << " nodes in " << (thread_microseconds() - begin) / 1000
                     << " ms");
  std::vector<double> all;
  for (const Json& document :
       read_json_file(source_dir() / "tests/text/grammar/documents.json", ErrorKind::kInput)) {
    CAPTURE(document["name"].get<std::string>());
    const Timing timing = follow(trie, *tokenizer, document);
    all.insert(all.end(), timing.masks.begin(), timing.masks.end());
    MESSAGE(document["name"].get<std::string>()
            << ": " << timing.masks.size() << " tokens, compiled in " << timing.compile
            << " us; masks in us: median " << quantile(timing.masks, 0.5) << ", p99 "
            << quantile(timing.masks, 0.99) << ", longest " << quantile(timing.masks, 1.0));
  }
  const double median = quantile(all, 0.5), p99 = quantile(all, 0.99);
  MESSAGE("all: " << all.size() << " tokens, median " << median << " us, p99 " << p99
                  << " us, longest " << quantile(all, 1.0) << " us");
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
  CHECK(median < 50.0);
  CHECK(p99 < 1000.0);
#endif
}

}  // namespace
}  // namespace gemma4
