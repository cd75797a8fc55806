// A small but complete tokenizer.json of Gemma's kind, for tests that cannot have the real one.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <unordered_set>
#include <vector>

#include "lib/io/json.h"

namespace gemma4 {

struct TinyTokenizerOptions {
  bool adds_bos = false;
  /// Every split of a piece is a merge, as in Gemma's own files; otherwise one split of each.
  bool every_split = true;
  /// Ids that stay ordinary "<unusedN>" pieces at the end, to reach a given vocabulary size.
  int unused_tokens = 0;
};

/// Gemma 4's control tokens, in the order of their ids there. Tiny ids: 0 to 23.
inline const std::vector<std::string>& tiny_control_tokens() {
  static const std::vector<std::string> tokens = {"<pad>",
                                                  "<eos>",
                                                  "<bos>",
                                                  "<unk>",
                                                  "<mask>",
                                                  "<|tool>",
                                                  "<tool|>",
                                                  "<|tool_call>",
                                                  "<tool_call|>",
                                                  "<|tool_response>",
                                                  "<tool_response|>",
                                                  "<|\"|>",
                                                  "<|think|>",
                                                  "<|channel>",
                                                  "<channel|>",
                                                  "<|turn>",
                                                  "<turn|>",
                                                  "<|image>",
                                                  "<|audio>",
                                                  "<|image|>",
                                                  "<|audio|>",
                                                  "<image|>",
                                                  "<audio|>",
                                                  "<|video|>"};
  return tokens;
}

/// The JSON document. Layout of ids: control tokens, 256 byte tokens (24 + byte), pieces made by
/// merges, printable ASCII with newline, tab, U+2581 and a few letters beyond, unused tokens.
inline Json tiny_tokenizer_json(const TinyTokenizerOptions& options = {}) {
  std::vector<std::string> pieces = tiny_control_tokens();
  for (int byte = 0; byte < 256; ++byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    pieces.push_back(std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">");
  }
  // By priority. Longer runs first, as in Gemma's files.
  const std::vector<std::vector<std::string>> merged = {{"\n", "\n", "\n", "\n"},
                                                        {"\n", "\n", "\n"},
                                                        {"\n", "\n"},
                                                        {"▁", "▁", "▁", "▁"},
                                                        {"▁", "▁", "▁"},
                                                        {"▁", "▁"},
                                                        {"t", "h"},
                                                        {"e", "r"},
                                                        {"u", "s"},
                                                        {"u", "s", "e", "r"},
                                                        {"m", "o"},
                                                        {"d", "e"},
                                                        {"d", "e", "l"},
                                                        {"m", "o", "d", "e", "l"},
                                                        {"▁", "t"},
                                                        {"▁", "t", "h"},
                                                        {"▁", "t", "h", "e"},
                                                        {"o", "u"},
                                                        {"th", "ou"},
                                                        {"g", "h"},
                                                        {"gh", "t"},
                                                        {"thou", "ght"},
                                                        {"l", "l"},
                                                        {"c", "a"},
                                                        {"ca", "ll"},
                                                        {"a", "b"},
                                                        {"ab", "ab"},
                                                        {"é", "é"},
                                                        {">", "▁"},
                                                        {">▁", "<"}};
  std::vector<std::string> results;
  for (const auto& parts : merged) {
    std::string piece;
    for (const std::string& part : parts) piece += part;
    results.push_back(piece);
    pieces.push_back(piece);
  }
  for (char c = '!'; c <= '~'; ++c) pieces.emplace_back(1, c);
  for (const char* piece : {"\n", "\t", "▁", "é", "ß", "世", "界", "\uFFFD"}) {
    pieces.emplace_back(piece);
  }
  for (int i = 0; i < options.unused_tokens; ++i) {
    pieces.push_back("<unused" + std::to_string(i) + ">");
  }

  const std::unordered_set<std::string> known(pieces.begin(), pieces.end());
  Json merges = Json::array();
  for (const std::string& result : results) {
    for (size_t left = result.size() - 1; left > 0; --left) {
      const std::string first = result.substr(0, left), second = result.substr(left);
      if (!known.contains(first) || !known.contains(second)) continue;
      merges.push_back({first, second});
      if (!options.every_split) break;
    }
  }
  Json vocabulary = Json::object(), added = Json::array();
  for (size_t id = 0; id < pieces.size(); ++id) vocabulary[pieces[id]] = id;
  for (size_t id = 0; id < tiny_control_tokens().size(); ++id) {
    added.push_back({{"id", id},
                     {"content", pieces[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const Json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const Json bos = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const Json space = {{"String", " "}}, mark = {{"String", "▁"}};
  Json document = Json::object();
  document["version"] = "1.0";
  document["truncation"] = nullptr;
  document["padding"] = nullptr;
  document["added_tokens"] = added;
  document["normalizer"] = {{"type", "Replace"}, {"pattern", space}, {"content", "▁"}};
  document["pre_tokenizer"] = {
      {"type", "Split"}, {"pattern", space}, {"behavior", "MergedWithPrevious"}, {"invert", false}};
  document["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", options.adds_bos ? Json::array({bos, sequence}) : Json::array({sequence})},
      {"pair", Json::array()},
      {"special_tokens", Json::object()}};
  document["decoder"] = {{"type", "Sequence"},
                         {"decoders",
                          {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
                           {{"type", "ByteFallback"}},
                           {{"type", "Fuse"}}}}};
  document["model"] = {{"type", "BPE"},
                       {"dropout", nullptr},
                       {"unk_token", "<unk>"},
                       {"continuing_subword_prefix", nullptr},
                       {"end_of_word_suffix", nullptr},
                       {"fuse_unk", true},
                       {"byte_fallback", true},
                       {"ignore_merges", false},
                       {"vocab", vocabulary},
                       {"merges", merges}};
  return document;
}

/// Writes `directory`/tokenizer.json.
inline void write_tiny_tokenizer(const std::filesystem::path& directory,
                                 const TinyTokenizerOptions& options = {}) {
  std::filesystem::create_directories(directory);
  std::ofstream(directory / "tokenizer.json", std::ios::binary)
      << tiny_tokenizer_json(options).dump(1);
}

}  // namespace gemma4
