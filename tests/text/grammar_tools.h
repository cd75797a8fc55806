// A small vocabulary, and answers drawn at random from token masks alone.
#pragma once

#include <bit>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "lib/text/grammar/token_mask.h"

namespace gemma4 {

inline constexpr TokenId kTestStop = 1;

/// Control tokens 0 and 1 (the stop token), the 256 bytes, and some hundred pieces as they occur
/// in JSON and prose, many of which span several elements of a grammar.
inline std::vector<std::string> test_vocabulary() {
  std::vector<std::string> pieces = {"", ""};
  for (int byte = 0; byte < 256; ++byte) pieces.push_back(std::string(1, static_cast<char>(byte)));
  const char* const kMore[] = {"{\"",
                               "\":",
                               "\": \"",
                               "\", \"",
                               "\"}",
                               "\"},",
                               "\"],",
                               "[\"",
                               "},{\"",
                               "\":{",
                               "\":[",
                               "[{",
                               "}]",
                               "]}",
                               "{}",
                               "[]",
                               ", ",
                               ": ",
                               ",\n",
                               "\n  ",
                               "\n    ",
                               "{\n  \"",
                               "\",\n  \"",
                               "\n}",
                               "  ",
                               "   ",
                               "\t\t",
                               "true",
                               "false",
                               "null",
                               "tru",
                               "alse",
                               "ull",
                               ": true",
                               ":null",
                               "null,",
                               "00",
                               "10",
                               "19",
                               "20",
                               "123",
                               ".5",
                               "-1",
                               "e+",
                               "0.",
                               "1,",
                               "2}",
                               "3]",
                               "0,\"",
                               "999",
                               "202",
                               "4-0",
                               "-02-2",
                               "12:",
                               "a",
                               "ab",
                               "abc",
                               "b",
                               "bb",
                               "ba",
                               "az",
                               "x-",
                               "foo",
                               "bar",
                               "foo,",
                               "cat",
                               "dog",
                               "kind",
                               "name",
                               "\"name",
                               "name\"",
                               "value",
                               "na",
                               "me",
                               "items",
                               "ems\":",
                               "total",
                               "tags",
                               "title",
                               "next",
                               "children",
                               "\"a\"",
                               "\"b\":",
                               "a\":",
                               "b\":1",
                               "red",
                               "green",
                               "\"red\"",
                               "ed\"",
                               "USD",
                               " the",
                               " and ",
                               "é",
                               "éé",
                               "中文",
                               "文",
                               "😀",
                               "😀é",
                               "\u00a0",
                               "\\n",
                               "\\\"",
                               "\\u00",
                               "\\u",
                               "\\ud83d",
                               "de00",
                               "\\\\",
                               "\\/",
                               "\"\\",
                               "://",
                               "http",
                               "https",
                               ".org",
                               "@",
                               "a@b",
                               ".com",
                               "::",
                               "::1",
                               "fe80",
                               "127.",
                               "0.0.1",
                               "P1",
                               "DT",
                               "T12",
                               "Z\"",
                               "+01:",
                               "-0",
                               "the quick brown fox",
                               "\"}]",
                               "\"}}",
                               "}}}",
                               "]]]",
                               "\", ",
                               "\" ,",
                               " :",
                               " }",
                               "{ ",
                               "[ "};
  pieces.insert(pieces.end(), std::begin(kMore), std::end(kMore));
  return pieces;
}

inline std::shared_ptr<const TokenTrie> trie_of(const std::vector<std::string>& pieces) {
  const std::vector<std::string_view> views(pieces.begin(), pieces.end());
  return std::make_shared<const TokenTrie>(views);
}

inline std::shared_ptr<const TokenTrie> test_trie() {
  static const auto trie = trie_of(test_vocabulary());
  return trie;
}

inline std::shared_ptr<GrammarMasks> masks_of(Grammar grammar,
                                              std::shared_ptr<const TokenTrie> trie = test_trie()) {
  return std::make_shared<GrammarMasks>(std::move(trie),
                                        std::make_shared<const Grammar>(std::move(grammar)));
}

/// Whether all of `text` fits.
inline bool fits(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  GrammarMatcher matcher(grammar);
  return GrammarMatcher::can_end(matcher.advance(matcher.start(), text));
}

inline bool fits(Grammar grammar, std::string_view text) {
  return fits(std::make_shared<const Grammar>(std::move(grammar)), text);
}

inline std::vector<TokenId> ids_of(std::span<const uint64_t> mask) {
  std::vector<TokenId> ids;
  for (size_t word = 0; word < mask.size(); ++word) {
    for (uint64_t bits = mask[word]; bits != 0; bits &= bits - 1) {
      ids.push_back(static_cast<TokenId>(word * 64) + std::countr_zero(bits));
    }
  }
  return ids;
}

/// An answer drawn from the masks alone: at first any token, after `free_tokens` rather one that
/// closes something. Nothing when it has not ended after `max_tokens`.
inline std::optional<std::string> draw(const std::shared_ptr<GrammarMasks>& masks,
                                       std::mt19937& random, int free_tokens, int max_tokens = 3000,
                                       TokenId stop = kTestStop, char quote = '"') {
  TokenConstraint constraint(masks, {stop});
  std::vector<uint64_t> mask(constraint.mask_words());
  std::string text;
  bool in_text = false, escaped = false;  // where in the value the answer stands
  const auto cost = [&](TokenId id) {
    if (id == stop) return 0;
    const std::string_view bytes = masks->trie().bytes(id);
    const char first = bytes[0];
    const int more = bytes.size() == 1 ? 0 : 2;
    if (first == quote) return in_text ? 1 : 2 + more;
    if (first == '}' || first == ']') return in_text ? 6 : 1 + more;
    if (first == ' ' || first == '\n' || first == '\t' || first == '\r') return 8;
    if (first == ',' || first == '{' || first == '[') return 7;
    return 5;
  };
  for (int i = 0; i < max_tokens; ++i) {
    constraint.fill_mask(mask);
    std::vector<TokenId> ids = ids_of(mask);
    if (ids.empty()) return std::nullopt;
    if (i >= free_tokens || random() % 5 == 0) {
      int least = 100;
      for (const TokenId id : ids) least = std::min(least, cost(id));
      // Now and then something else, so that no loop of preferences goes on without end; within
      // texts more often, since only expressions ask for certain characters.
      if (random() % (in_text ? 4 : 40) != 0)
        std::erase_if(ids, [&](TokenId id) { return cost(id) > least; });
    }
    const TokenId id = ids[random() % ids.size()];
    constraint.accept(id);
    if (id == stop) return text;
    for (const char c : masks->trie().bytes(id)) {
      if (c == quote && !escaped) in_text = !in_text;
      escaped = quote == '"' && in_text && c == '\\' && !escaped;
      text += c;
    }
  }
  return std::nullopt;
}

}  // namespace gemma4
