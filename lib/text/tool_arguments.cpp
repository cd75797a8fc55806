#include "lib/text/tool_arguments.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <string>
#include <unordered_map>

#include "lib/text/blanks.h"

namespace gemma4 {
namespace {

// Deeper values stay text. As deep as JSON from outside may be.
constexpr int kMaxDepth = 64;

// JSON types that a schema allows.
struct Types {
  bool null = false, integer = false, number = false, boolean = false;
  bool object = false, array = false, string = false;
  bool any() const { return null || integer || number || boolean || object || array || string; }
};

void add_type(const Json& name, Types& types) {
  if (name == "null") types.null = true;
  if (name == "integer") types.integer = true;
  if (name == "number") types.number = true;
  if (name == "boolean") types.boolean = true;
  if (name == "object") types.object = true;
  if (name == "array") types.array = true;
  if (name == "string") types.string = true;
}

void add_type_of(const Json& value, Types& types) {
  if (value.is_null()) types.null = true;
  if (value.is_number_integer()) types.integer = true;
  if (value.is_number_float()) types.number = true;
  if (value.is_boolean()) types.boolean = true;
  if (value.is_object()) types.object = true;
  if (value.is_array()) types.array = true;
  if (value.is_string()) types.string = true;
}

const Json* find(const Json* schema, std::string_view key) {
  if (schema == nullptr || !schema->is_object()) return nullptr;
  const auto found = schema->find(std::string(key));
  return found == schema->end() ? nullptr : &*found;
}

void collect_types(const Json* schema, Types& types, int depth = 0) {
  if (depth > kMaxDepth) return;
  if (const Json* type = find(schema, "type")) {
    if (type->is_array()) {
      for (const Json& name : *type) add_type(name, types);
    } else {
      add_type(*type, types);
    }
  }
  if (const Json* values = find(schema, "enum"); values != nullptr && values->is_array()) {
    for (const Json& value : *values) add_type_of(value, types);
  }
  for (const char* choice : {"anyOf", "oneOf", "allOf"}) {
    const Json* branches = find(schema, choice);
    if (branches == nullptr || !branches->is_array()) continue;
    for (const Json& branch : *branches) collect_types(&branch, types, depth + 1);
  }
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// A number as Python's int() or float() reads it, less underscores and words.
std::optional<Json> to_integer(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return Json(value);
}

std::optional<Json> to_number(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (!std::isfinite(value)) return std::nullopt;
  if (value == std::trunc(value) && std::abs(value) < 0x1p63) {
    return Json(static_cast<int64_t>(value));
  }
  return Json(value);
}

std::optional<Json> to_json(std::string_view text) {
  try {
    return parse_json(text, "argument", ErrorKind::kAnswer);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Rule 4 of 5.3: the first allowed type that the text can be.
Json coerce(std::string_view text, const Types& types) {
  const std::string_view trimmed = trim(text);
  const std::string word = trimmed.size() > 5 ? "" : lower(trimmed);
  if (types.null && word == "null") return nullptr;
  if (types.integer) {
    if (auto value = to_integer(trimmed)) return *value;
  }
  if (types.number) {
    if (auto value = to_number(trimmed)) return *value;
  }
  if (types.boolean) {
    if (word == "true" || word == "1") return true;
    if (word == "false" || word == "0") return false;
  }
  if (types.object || types.array) {
    auto value = to_json(text);
    if (value && ((types.object && value->is_object()) || (types.array && value->is_array()))) {
      return *value;
    }
  }
  if (types.string) return std::string(text);
  if (auto value = to_json(text)) return *value;
  return std::string(text);
}

// Rule 3 of 5.3.
Json bare_value(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  for (const char* null : {"null", "none", "nil", "None", "NULL", "NIL"}) {
    if (text == null) return nullptr;
  }
  if (!text.empty() && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'))) {
    const Json number = Json::parse(text, nullptr, false);
    if (number.is_number()) return number;
    if (text.ends_with('.')) {
      text.remove_suffix(1);
      const Json whole = Json::parse(text, nullptr, false);
      if (whole.is_number_integer()) return whole.get<double>();
      return std::string(text) + '.';
    }
  }
  return std::string(text);
}

// Text that is shown after all: a delimiter where none belongs is spelled out.
std::string spelled(std::string_view text) {
  std::string result;
  for (const char c : text) {
    if (c == kStringDelimiter) {
      result += "<|\"|>";
    } else {
      result += c;
    }
  }
  return result;
}

std::string key_of(std::string_view text) {
  std::string key;
  for (const char c : text) {
    if (c != kStringDelimiter) key += c;
  }
  return std::string(trim(key));
}

// Reads members or elements. `unfinished`: the text breaks off inside an inner object or array,
// so that a bare value at its end may be the beginning of another one.
class Scanner {
 public:
  Scanner(std::string_view text, bool unfinished, int depth)
      : text_(text), unfinished_(unfinished), depth_(depth) {}

  Json members(const Json* schema);
  Json elements(const Json* schema);

 private:
  void skip(std::string_view characters) {
    while (at_ < text_.size() && characters.find(text_[at_]) != characters.npos) ++at_;
  }
  /// The value that begins here; nullopt when it is unfinished.
  std::optional<Json> value(const Json* schema);
  Json nested(char open, char close, const Json* schema);
  Json quoted(const Types& types);

  std::string_view text_;
  size_t at_ = 0;
  bool unfinished_;
  int depth_;
};

Json Scanner::members(const Json* schema) {
  Json result = Json::object();
  auto& members = result.get_ref<Json::object_t&>();
  // The object itself looks keys up one by one: quadratic in what a model may write.
  std::unordered_map<std::string, size_t> places;
  const auto put = [&](const std::string& key, Json value) {
    const auto [place, added] = places.emplace(key, members.size());
    if (added) {
      members.push_back({key, std::move(value)});
    } else {
      (members.begin() + static_cast<ptrdiff_t>(place->second))->second = std::move(value);
    }
  };
  const Json* properties = find(schema, "properties");
  while (true) {
    skip(" ,\n\t");
    const size_t colon = text_.find(':', at_);
    if (colon == text_.npos) return result;
    const std::string key = key_of(text_.substr(at_, colon - at_));
    at_ = colon + 1;
    skip(" \n\t");
    if (at_ == text_.size()) {
      if (!unfinished_) put(key, "");
      return result;
    }
    auto member = value(find(properties, key));
    if (!member) return result;
    put(key, std::move(*member));
  }
}

Json Scanner::elements(const Json* schema) {
  Json result = Json::array();
  const Json* items = find(schema, "items");
  while (true) {
    skip(" ,\n\t");
    const size_t begin = at_;
    if (at_ == text_.size()) return result;
    auto element = value(items);
    if (!element || at_ == begin) return result;
    result.push_back(std::move(*element));
  }
}

std::optional<Json> Scanner::value(const Json* schema) {
  if (text_[at_] == '{') return nested('{', '}', schema);
  if (text_[at_] == '[') return nested('[', ']', schema);
  Types types;
  collect_types(schema, types);
  if (text_[at_] == kStringDelimiter) return quoted(types);
  const size_t end = std::min(text_.find_first_of(",}]", at_), text_.size());
  const std::string bare = spelled(trim(text_.substr(at_, end - at_)));
  at_ = end;
  if (unfinished_ && end == text_.size()) return std::nullopt;
  // A schema that allows no type in particular types nothing.
  return types.any() ? coerce(bare, types) : bare_value(bare);
}

Json Scanner::quoted(const Types& types) {
  const size_t begin = at_ + 1;
  const size_t end = std::min(text_.find(kStringDelimiter, begin), text_.size());
  const std::string_view string = text_.substr(begin, end - begin);
  at_ = std::min(end + 1, text_.size());
  return types.any() ? coerce(string, types) : Json(string);
}

Json Scanner::nested(char open, char close, const Json* schema) {
  const size_t begin = at_;
  int64_t level = 0;
  do {
    if (text_[at_] == kStringDelimiter) {
      at_ = std::min(text_.find(kStringDelimiter, at_ + 1), text_.size() - 1);
    } else if (text_[at_] == open) {
      ++level;
    } else if (text_[at_] == close) {
      --level;
    }
    ++at_;
  } while (level > 0 && at_ < text_.size());
  if (depth_ >= kMaxDepth) return spelled(text_.substr(begin, at_ - begin));
  const bool closed = level == 0;
  const std::string_view inner = text_.substr(begin + 1, at_ - begin - (closed ? 2 : 1));
  Scanner scanner(inner, !closed, depth_ + 1);
  return open == '{' ? scanner.members(schema) : scanner.elements(schema);
}

}  // namespace

Json parse_tool_arguments(std::string_view text, const Json* parameters) {
  text = trim(text);
  if (text.ends_with('}')) text.remove_suffix(1);
  return Scanner(text, false, 0).members(parameters);
}

}  // namespace gemma4
