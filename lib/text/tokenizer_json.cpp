#include "lib/text/tokenizer_json.h"

#include <simdjson.h>

#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "lib/base/error.h"
#include "lib/base/utf8.h"

namespace gemma4 {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// Scores of the sentencepiece model are float32: exact up to here.
constexpr size_t kMaxTokens = size_t{1} << 24;
// Keeps the search for added tokens in a text linear.
constexpr size_t kMaxAddedTokenBytes = 256;
constexpr char kUseOfficial[] = "use the tokenizer.json of a Gemma checkpoint";

class Reader {
 public:
  explicit Reader(std::string_view origin) : origin_(origin) {}

  TokenizerFile read(const std::string& text);

 private:
  [[noreturn]] void refuse(const std::string& what, std::string_view hint = kUseOfficial) const {
    throw Error(ErrorKind::kModel, what, origin_, hint);
  }

  template <typename T>
  T get(simdjson::simdjson_result<element> value, const std::string& name) const {
    T result;
    if (value.get(result) != simdjson::SUCCESS) refuse("tokenizer: bad or missing " + name);
    return result;
  }

  template <typename T>
  T get(const element& value, const std::string& name) const {
    return get<T>(simdjson::simdjson_result<element>(element(value)), name);
  }

  std::string string_of(simdjson::simdjson_result<element> value, const std::string& name) const {
    return std::string(get<std::string_view>(value, name));
  }

  void check_keys(const object& fields, std::initializer_list<std::string_view> known,
                  const std::string& where) const;
  void check_component(const object& root, const std::string& name, const nlohmann::json& wanted,
                       bool may_be_null) const;
  void check_model_settings(const object& model) const;
  void read_vocabulary(const object& model, const array& added);
  void read_added_token(const object& token);
  void find_byte_tokens();
  void read_merges(const object& model);
  TokenId merge_operand(std::string_view piece) const;
  void read_post_processor(const object& root);

  std::string_view origin_;
  TokenizerFile file_;
};

void Reader::check_keys(const object& fields, std::initializer_list<std::string_view> known,
                        const std::string& where) const {
  for (const auto field : fields) {
    bool found = false;
    for (const std::string_view name : known) found = found || field.key == name;
    if (!found) {
      refuse("unknown key \"" + printable(field.key, 100) + "\" in the tokenizer's " + where);
    }
  }
}

nlohmann::json plain_json(const element& value) {
  return nlohmann::json::parse(simdjson::minify(value));
}

void Reader::check_component(const object& root, const std::string& name,
                             const nlohmann::json& wanted, bool may_be_null) const {
  const auto value = get<element>(root[name], name);
  if (may_be_null && value.is_null()) return;
  if (plain_json(value) == wanted) return;
  std::string_view type;
  if (value["type"].get(type) != simdjson::SUCCESS) refuse("unsupported tokenizer " + name);
  const bool known = wanted["type"] == type;
  refuse("unsupported tokenizer " + name + " \"" + printable(type, 100) + "\"" +
         (known ? " with these settings" : ""));
}

void Reader::check_model_settings(const object& model) const {
  check_keys(model,
             {"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix",
              "fuse_unk", "byte_fallback", "ignore_merges", "vocab", "merges"},
             "model");
  const std::string type = string_of(model["type"], "model type");
  if (type != "BPE") refuse("unsupported tokenizer model \"" + printable(type, 100) + "\"");
  for (const std::string name : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
    element value;
    if (model[name].get(value) != simdjson::SUCCESS || value.is_null()) continue;
    std::string_view text;
    if (value.get(text) == simdjson::SUCCESS && text.empty()) continue;
    refuse("unsupported tokenizer model setting " + name);
  }
  if (!get<bool>(model["byte_fallback"], "byte_fallback")) {
    refuse("unsupported tokenizer model: byte_fallback is off");
  }
  bool ignore_merges = false;
  if (model["ignore_merges"].get(ignore_merges) == simdjson::SUCCESS && ignore_merges) {
    refuse("unsupported tokenizer model setting ignore_merges");
  }
}

void Reader::read_vocabulary(const object& model, const array& added) {
  const auto vocabulary = get<object>(model["vocab"], "vocab");
  size_t count = 0;
  for ([[maybe_unused]] const auto field : vocabulary) ++count;
  for ([[maybe_unused]] const auto token : added) ++count;
  if (count == 0 || count > kMaxTokens) refuse("tokenizer has no tokens, or too many");

  // Ids must be dense in the end; added tokens may repeat vocabulary entries.
  file_.pieces.resize(count);
  file_.kinds.resize(count, TokenKind::kText);
  file_.ids.reserve(count);
  for (const auto field : vocabulary) {
    const auto id = get<int64_t>(field.value, "vocabulary id");
    const std::string shown = "\"" + printable(field.key, 100) + "\"";
    if (id < 0 || id >= static_cast<int64_t>(count)) refuse("id out of range: token " + shown);
    if (field.key.empty() || !is_valid_utf8(field.key)) refuse("bad spelling: token " + shown);
    if (!file_.pieces[id].empty()) refuse("id used twice: token " + shown);
    file_.pieces[id] = field.key;
    if (!file_.ids.emplace(file_.pieces[id], static_cast<TokenId>(id)).second) {
      refuse("appears twice: token " + shown);
    }
  }
  for (const auto token : added) {
    read_added_token(get<object>(token, "added token"));
  }
  const size_t used = file_.ids.size();
  for (size_t id = 0; id < used; ++id) {
    if (file_.pieces[id].empty()) refuse("no token has the id " + std::to_string(id));
  }
  file_.pieces.resize(used);
  file_.kinds.resize(used);
}

void Reader::read_added_token(const object& token) {
  check_keys(token, {"id", "content", "single_word", "lstrip", "rstrip", "normalized", "special"},
             "added_tokens");
  const auto id = get<int64_t>(token["id"], "added token id");
  const auto spelling = get<std::string_view>(token["content"], "added token content");
  const std::string shown = " of added token \"" + printable(spelling, 100) + "\"";
  if (id < 0 || id >= static_cast<int64_t>(file_.pieces.size())) refuse("bad id" + shown);
  if (spelling.empty() || spelling.size() > kMaxAddedTokenBytes || !is_valid_utf8(spelling)) {
    refuse("bad spelling" + shown);
  }
  for (const std::string flag : {"single_word", "lstrip", "rstrip", "normalized"}) {
    if (get<bool>(token[flag], flag + shown)) refuse("unsupported setting " + flag + shown);
  }
  std::string& piece = file_.pieces[id];
  if (piece.empty()) {
    piece = spelling;
    if (!file_.ids.emplace(piece, static_cast<TokenId>(id)).second) refuse("second id" + shown);
  } else if (piece != spelling || file_.kinds[id] != TokenKind::kText) {
    refuse("id is taken" + shown);
  }
  const bool special = get<bool>(token["special"], "special" + shown);
  file_.kinds[id] = special ? TokenKind::kControl : TokenKind::kAdded;
}

void Reader::find_byte_tokens() {
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string spelling = std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
    const auto found = file_.ids.find(spelling);
    if (found == file_.ids.end() || file_.kinds[found->second] != TokenKind::kText) {
      refuse("tokenizer has no byte token " + spelling);
    }
    file_.kinds[found->second] = TokenKind::kByte;
  }
}

TokenId Reader::merge_operand(std::string_view piece) const {
  const auto found = file_.ids.find(piece);
  if (found == file_.ids.end()) {
    refuse("a merge uses \"" + printable(piece, 100) + "\", which is not in the vocabulary");
  }
  const TokenKind kind = file_.kinds[found->second];
  if (kind == TokenKind::kByte || kind == TokenKind::kControl) {
    refuse("a merge uses \"" + printable(piece, 100) + "\", a byte or control token");
  }
  return found->second;
}

// Each merge splits its result in two: a (result, length of the left part) is seen at most once.
class SeenSplits {
 public:
  explicit SeenSplits(const std::vector<std::string>& pieces) {
    starts_.reserve(pieces.size());
    size_t total = 0;
    for (const std::string& piece : pieces) {
      starts_.push_back(total);
      total += piece.size();
    }
    seen_.resize(total);
  }
  bool insert(TokenId result, size_t left_bytes) {
    const size_t slot = starts_[result] + left_bytes;
    if (seen_[slot]) return false;
    return seen_[slot] = true;
  }

 private:
  std::vector<size_t> starts_;
  std::vector<bool> seen_;
};

void Reader::read_merges(const object& model) {
  const auto merges = get<array>(model["merges"], "merges");
  SeenSplits seen(file_.pieces);
  std::string joined;
  for (const element merge : merges) {
    std::string_view left, right;
    array pair;
    if (merge.get(pair) == simdjson::SUCCESS) {
      if (pair.size() != 2) refuse("a merge is not of two pieces");
      left = get<std::string_view>(pair.at(0), "merge");
      right = get<std::string_view>(pair.at(1), "merge");
    } else {  // older files: "left right"
      const auto text = get<std::string_view>(merge, "merge");
      const size_t space = text.find(' ');
      if (space == text.npos || text.find(' ', space + 1) != text.npos) {
        refuse("a merge is not of two pieces");
      }
      left = text.substr(0, space);
      right = text.substr(space + 1);
    }
    joined.assign(left).append(right);
    const Merge entry = {merge_operand(left), merge_operand(right), merge_operand(joined)};
    if (!seen.insert(entry.result, left.size())) {
      refuse("a merge into \"" + printable(joined, 100) + "\" appears twice");
    }
    file_.merges.push_back(entry);
  }
}

void Reader::read_post_processor(const object& root) {
  const auto value = get<element>(root["post_processor"], "post_processor");
  if (value.is_null()) return;
  const std::string type = string_of(value["type"], "post_processor type");
  if (type != "TemplateProcessing") {
    refuse("unsupported tokenizer post_processor \"" + printable(type, 100) + "\"");
  }
  const nlohmann::json sequence = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  const nlohmann::json bos = {{"SpecialToken", {{"id", "<bos>"}, {"type_id", 0}}}};
  const nlohmann::json single = plain_json(get<element>(value["single"], "post_processor"));
  file_.adds_bos = single == nlohmann::json::array({bos, sequence});
  if (!file_.adds_bos && single != nlohmann::json::array({sequence})) {
    refuse("unsupported tokenizer post_processor \"TemplateProcessing\" with these settings");
  }
  const auto id = file_.ids.find("<bos>");
  if (file_.adds_bos && (id == file_.ids.end() || file_.kinds[id->second] != TokenKind::kControl)) {
    refuse("the tokenizer's post_processor adds <bos>, which is not a special token");
  }
}

TokenizerFile Reader::read(const std::string& text) {
  simdjson::dom::parser parser;
  element document;
  const auto failure = parser.parse(text).get(document);
  if (failure != simdjson::SUCCESS) {
    refuse("not valid JSON", simdjson::error_message(failure));
  }
  const auto root = get<object>(document, "document");
  // truncation and padding shape training batches, not the ids of a text.
  check_keys(root,
             {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
              "post_processor", "decoder", "model"},
             "top level");
  const nlohmann::json space = {{"String", " "}};
  const nlohmann::json mark = {{"String", "\u2581"}};
  check_component(root, "normalizer",
                  {{"type", "Replace"}, {"pattern", space}, {"content", "\u2581"}}, false);
  // Splits at spaces, of which the normalizer leaves none: the same as no pre-tokenizer.
  check_component(root, "pre_tokenizer",
                  {{"type", "Split"},
                   {"pattern", space},
                   {"behavior", "MergedWithPrevious"},
                   {"invert", false}},
                  true);
  check_component(root, "decoder",
                  {{"type", "Sequence"},
                   {"decoders",
                    {{{"type", "Replace"}, {"pattern", mark}, {"content", " "}},
                     {{"type", "ByteFallback"}},
                     {{"type", "Fuse"}}}}},
                  false);
  const auto model = get<object>(root["model"], "model");
  check_model_settings(model);
  read_vocabulary(model, get<array>(root["added_tokens"], "added_tokens"));
  find_byte_tokens();
  const std::string unknown = string_of(model["unk_token"], "unk_token");
  const auto unknown_id = file_.ids.find(unknown);
  if (unknown_id == file_.ids.end() || file_.kinds[unknown_id->second] == TokenKind::kByte) {
    refuse("unk_token \"" + printable(unknown, 100) + "\" is not in the vocabulary");
  }
  file_.unknown = unknown_id->second;
  read_merges(model);
  read_post_processor(root);
  return std::move(file_);
}

}  // namespace

TokenizerFile parse_tokenizer_json(const std::string& text, std::string_view origin) {
  return Reader(origin).read(text);
}

}  // namespace gemma4
