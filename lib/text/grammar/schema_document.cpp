#include "lib/text/grammar/schema_document.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "lib/base/error.h"
#include "lib/base/utf8.h"
#include "lib/text/grammar/limits.h"

namespace gemma4 {
namespace {

enum class Takes {
  kText,
  kCount,
  kNumber,
  kSchema,
  kSchemas,
  kSchemaMap,
  kNames,
  kNamesMap,
  kBool,
  kType,
  kValues,
  kAnything
};

struct Keyword {
  std::string_view name;
  Takes takes;
};

constexpr Keyword kKeywords[] = {
    {"$ref", Takes::kText},
    {"type", Takes::kType},
    {"const", Takes::kAnything},
    {"enum", Takes::kValues},
    {"anyOf", Takes::kSchemas},
    {"oneOf", Takes::kSchemas},
    {"allOf", Takes::kSchemas},
    {"properties", Takes::kSchemaMap},
    {"required", Takes::kNames},
    {"additionalProperties", Takes::kSchema},
    {"unevaluatedProperties", Takes::kSchema},
    {"patternProperties", Takes::kSchemaMap},
    {"propertyNames", Takes::kSchema},
    {"minProperties", Takes::kCount},
    {"maxProperties", Takes::kCount},
    {"dependentRequired", Takes::kNamesMap},
    {"dependentSchemas", Takes::kSchemaMap},
    {"items", Takes::kSchema},
    {"prefixItems", Takes::kSchemas},
    {"unevaluatedItems", Takes::kSchema},
    {"minItems", Takes::kCount},
    {"maxItems", Takes::kCount},
    {"uniqueItems", Takes::kBool},
    {"minLength", Takes::kCount},
    {"maxLength", Takes::kCount},
    {"pattern", Takes::kText},
    {"format", Takes::kText},
    {"minimum", Takes::kNumber},
    {"maximum", Takes::kNumber},
    {"exclusiveMinimum", Takes::kNumber},
    {"exclusiveMaximum", Takes::kNumber},
    {"multipleOf", Takes::kNumber},
    // Annotations: say nothing about which values are valid.
    {"title", Takes::kAnything},
    {"description", Takes::kAnything},
    {"default", Takes::kAnything},
    {"example", Takes::kAnything},
    {"examples", Takes::kAnything},
    {"deprecated", Takes::kAnything},
    {"readOnly", Takes::kAnything},
    {"writeOnly", Takes::kAnything},
    {"discriminator", Takes::kAnything},
    {"contentEncoding", Takes::kAnything},
    {"contentMediaType", Takes::kAnything},
    {"$comment", Takes::kAnything},
    {"$schema", Takes::kAnything},
    {"$defs", Takes::kAnything},
    {"definitions", Takes::kAnything},
};

bool is_schema(const Json& value) { return value.is_boolean() || value.is_object(); }
bool is_names(const Json& value) {
  return value.is_array() &&
         std::all_of(value.begin(), value.end(), [](const Json& name) { return name.is_string(); });
}
bool is_type_name(const Json& value) {
  constexpr std::array<std::string_view, 7> kTypes = {"null",   "boolean", "integer", "number",
                                                      "string", "array",   "object"};
  return value.is_string() && std::find(kTypes.begin(), kTypes.end(),
                                        value.get_ref<const std::string&>()) != kTypes.end();
}

// What is wrong with a keyword's value; empty: nothing.
std::string_view complaint(Takes takes, const Json& value) {
  switch (takes) {
    case Takes::kText:
      return value.is_string() ? "" : "must be a text";
    case Takes::kCount: {
      if (value.is_number_unsigned()) return "";
      if (value.is_number_integer() && value.get<int64_t>() >= 0) return "";
      const bool whole = value.is_number_float() && value.get<double>() >= 0 &&
                         std::floor(value.get<double>()) == value.get<double>();
      return whole ? "" : "must be a whole number, 0 or more";
    }
    case Takes::kNumber:
      return value.is_number() && std::isfinite(value.get<double>()) ? "" : "must be a number";
    case Takes::kSchema:
      return is_schema(value) ? "" : "must be a schema (a list of schemas is prefixItems)";
    case Takes::kSchemas:
      return value.is_array() && !value.empty() &&
                     std::all_of(value.begin(), value.end(), is_schema)
                 ? ""
                 : "must be a list of schemas, at least one";
    case Takes::kSchemaMap:
      return value.is_object() && std::all_of(value.begin(), value.end(), is_schema)
                 ? ""
                 : "must be an object of schemas";
    case Takes::kNames:
      return is_names(value) ? "" : "must be a list of names";
    case Takes::kNamesMap:
      return value.is_object() && std::all_of(value.begin(), value.end(), is_names)
                 ? ""
                 : "must be an object of lists of names";
    case Takes::kBool:
      return value.is_boolean() ? "" : "must be true or false";
    case Takes::kType:
      if (is_type_name(value)) return "";
      return value.is_array() && !value.empty() &&
                     std::all_of(value.begin(), value.end(), is_type_name)
                 ? ""
                 : "must be a type of JSON or a list of them";
    case Takes::kValues:
      if (value.is_array() && value.size() > grammar_limits::kMaxEnumValues) {
        return "has too many values (at most 65536)";
      }
      return value.is_array() && !value.empty() ? "" : "must be a list of values, at least one";
    case Takes::kAnything:
      return "";
  }
  return "";
}

// RFC 6901, 3: "~" and "/" within one step of a pointer.
std::string escaped_step(std::string_view name) {
  std::string step;
  for (const char c : name) {
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  return step;
}

std::string unescaped_step(std::string_view step) {
  std::string name;
  for (size_t i = 0; i < step.size(); ++i) {
    if (step[i] == '~' && i + 1 < step.size() && (step[i + 1] == '0' || step[i + 1] == '1')) {
      name += step[++i] == '0' ? '~' : '/';
    } else {
      name += step[i];
    }
  }
  return name;
}

std::string without_percents(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(&text[i + 1], &text[i + 3], value, 16).ptr == &text[i + 3]) {
      plain += static_cast<char>(value);
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

}  // namespace

SchemaDocument::SchemaDocument(Json root) {
  owned_.push_back(std::move(root));
  if (!is_schema(owned_.front())) {
    throw Error(ErrorKind::kUsage, "a schema must be an object, true or false", "schema /");
  }
  id_of(owned_.front(), "");
}

const Json* SchemaDocument::keyword(SchemaId id, std::string_view name) const {
  const Json& schema = json(id);
  if (!schema.is_object()) return nullptr;
  const auto it = schema.find(name);
  return it == schema.end() ? nullptr : &*it;
}

SchemaId SchemaDocument::id_of(const Json& json, std::string pointer) {
  const auto [it, is_new] = ids_.try_emplace(&json, static_cast<SchemaId>(nodes_.size()));
  const SchemaId id = it->second;
  if (is_new) {
    nodes_.push_back({&json, std::move(pointer)});
    check(id);
  }
  return id;
}

void SchemaDocument::check(SchemaId id) const {
  const Json& schema = json(id);
  if (schema.is_boolean()) return;
  for (auto it = schema.begin(); it != schema.end(); ++it) {
    const std::string& name = it.key();
    const Json& value = it.value();
    const auto known = std::find_if(std::begin(kKeywords), std::end(kKeywords),
                                    [&](const Keyword& one) { return one.name == name; });
    if (known != std::end(kKeywords)) {
      const std::string_view wrong = complaint(known->takes, value);
      if (!wrong.empty()) fail(id, name, "the keyword's value " + std::string(wrong));
      continue;
    }
    if (name.starts_with("x-")) continue;
    if (name == "$id" && id == kRoot) continue;
    fail(id, name, "this keyword cannot be enforced", "leave it out, or say it another way");
  }
}

SchemaId SchemaDocument::child(SchemaId id, const std::string& keyword) {
  return id_of(json(id)[keyword], nodes_[id].pointer + "/" + keyword);
}

SchemaId SchemaDocument::child(SchemaId id, const std::string& keyword, const std::string& key) {
  return id_of(json(id)[keyword][key],
               nodes_[id].pointer + "/" + keyword + "/" + escaped_step(key));
}

SchemaId SchemaDocument::child(SchemaId id, const std::string& keyword, size_t index) {
  return id_of(json(id)[keyword][index],
               nodes_[id].pointer + "/" + keyword + "/" + std::to_string(index));
}

SchemaId SchemaDocument::target_of_ref(SchemaId id) {
  const std::string ref = keyword(id, "$ref")->get<std::string>();
  if (ref.empty() || ref[0] != '#') {
    fail(id, "$ref", "a reference out of the schema is not followed",
         "copy what it means into $defs");
  }
  if (ref.size() > 1 && ref[1] != '/') {
    fail(id, "$ref", "references by name are not supported", "write it as #/$defs/...");
  }
  const std::string pointer = without_percents(std::string_view(ref).substr(1));
  if (!is_valid_utf8(pointer)) fail(id, "$ref", "the reference is not valid UTF-8");
  const Json* at = &owned_.front();
  for (size_t begin = 1; begin <= pointer.size();) {
    const size_t end = std::min(pointer.find('/', begin), pointer.size());
    const std::string step = unescaped_step(std::string_view(pointer).substr(begin, end - begin));
    const Json* next = nullptr;
    if (at->is_object()) {
      const auto it = at->find(step);
      if (it != at->end()) next = &*it;
    } else if (at->is_array()) {
      size_t index = 0;
      const auto [rest, error] = std::from_chars(step.data(), step.data() + step.size(), index);
      if (error == std::errc() && rest == step.data() + step.size() && index < at->size()) {
        next = &(*at)[index];
      }
    }
    if (next == nullptr) fail(id, "$ref", "the reference leads nowhere");
    at = next;
    begin = end + 1;
  }
  if (!is_schema(*at)) fail(id, "$ref", "the reference does not lead to a schema");
  return id_of(*at, pointer);
}

SchemaId SchemaDocument::without(SchemaId id, const std::string& keyword) {
  Json rest = json(id);
  rest.erase(keyword);
  owned_.push_back(std::move(rest));
  return id_of(owned_.back(), nodes_[id].pointer);
}

SchemaId SchemaDocument::nothing() {
  owned_.push_back(Json(false));
  return id_of(owned_.back(), "");
}

bool SchemaDocument::allows_all(SchemaId id) const {
  return json(id).is_boolean() ? json(id).get<bool>() : json(id).empty();
}

std::string SchemaDocument::place(SchemaId id, std::string_view keyword) const {
  std::string pointer = nodes_[id].pointer;
  if (!keyword.empty()) pointer += "/" + escaped_step(keyword);
  return "schema " + (pointer.empty() ? "/" : printable(pointer));
}

void SchemaDocument::fail(SchemaId id, std::string_view keyword, std::string_view what,
                          std::string_view hint) const {
  throw Error(ErrorKind::kUsage, what, place(id, keyword), hint);
}

}  // namespace gemma4
