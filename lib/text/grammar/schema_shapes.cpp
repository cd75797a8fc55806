#include "lib/text/grammar/schema_shapes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "lib/base/error.h"
#include "lib/text/grammar/limits.h"
#include "lib/text/grammar/regex_parser.h"
#include "lib/text/grammar/schema_objects.h"
#include "lib/text/grammar/string_formats.h"

namespace gemma4 {
namespace {

using Type = SchemaShape::Type;

constexpr size_t kMaxOpen = 32;          // see SchemaShapes::of
constexpr size_t kMaxBoundDigits = 300;  // readers take numbers up to 308

unsigned type_of_name(const std::string& name) {
  if (name == "null") return Type::kNull;
  if (name == "boolean") return Type::kBoolean;
  if (name == "integer") return Type::kInteger;
  if (name == "number") return Type::kInteger | Type::kFraction;
  if (name == "string") return Type::kString;
  return name == "array" ? Type::kArray : Type::kObject;
}

unsigned type_of_value(const Json& value) {
  if (value.is_null()) return Type::kNull;
  if (value.is_boolean()) return Type::kBoolean;
  if (value.is_number()) {
    return decimal_of(value).fraction.empty() ? Type::kInteger : Type::kFraction;
  }
  if (value.is_string()) return Type::kString;
  return value.is_array() ? Type::kArray : Type::kObject;
}

// Without regard to the order of keys; 1 and 1.0 are equal.
bool same_value(const Json& a, const Json& b) { return nlohmann::json(a) == nlohmann::json(b); }

void narrow_low(std::optional<NumberBound>& bound, const NumberBound& other) {
  if (!bound || other.value > bound->value || (other.value == bound->value && other.exclusive)) {
    bound = other;
  }
}

void narrow_high(std::optional<NumberBound>& bound, const NumberBound& other) {
  if (!bound || other.value < bound->value || (other.value == bound->value && other.exclusive)) {
    bound = other;
  }
}

}  // namespace

uint32_t code_points(std::string_view text) {
  return static_cast<uint32_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

const std::vector<SchemaShape>& SchemaShapes::of(const Conjunction& conjunction,
                                                 Undeclared undeclared) {
  const auto key = std::make_pair(conjunction, undeclared);
  if (const auto known = shapes_.find(key); known != shapes_.end()) return known->second;
  const SchemaId place = conjunction.empty() ? SchemaDocument::kRoot : conjunction.front();
  if (shapes_.size() >= grammar_limits::kMaxSchemaRules) {
    document_.fail(place, {}, "the schema has too many parts",
                   "at most " + std::to_string(grammar_limits::kMaxSchemaRules));
  }
  // Only propertyNames, enum and const look into other schemas right away.
  if (open_.size() >= kMaxOpen || !open_.insert(key).second) {
    document_.fail(place, {}, "the schema needs itself to be understood",
                   "keep references out of propertyNames and beside enum and const");
  }
  std::vector<SchemaShape> shapes;
  for (const SchemaChoice& choice : expand(document_, conjunction, one_ofs_)) {
    SchemaShape shape = shape_of(choice, undeclared);
    if (shape.types != 0 && (!shape.values || !shape.values->empty())) {
      shapes.push_back(std::move(shape));
    }
  }
  open_.erase(key);
  return shapes_.emplace(key, std::move(shapes)).first->second;
}

SchemaShape SchemaShapes::shape_of(const SchemaChoice& choice, Undeclared undeclared) {
  SchemaShape shape;
  auto values = values_of(choice);
  // Listed values are declared in full: they may have keys that no other keyword speaks of.
  if (values) undeclared = Undeclared::kOpen;
  shape.types = types_of(choice);
  for (const auto& entry : choice.entries) {
    read_numbers(entry.schema, shape.number);
    read_strings(entry.schema, shape.string);
  }
  for (const auto& entry : choice.entries) keep_length(entry.schema, shape.string);
  if ((shape.types & Type::kFraction) == 0) shape.number.integer = true;
  if (shape.string.min_length > shape.string.max_length) shape.types &= ~Type::kString;
  if (shape.string.text && shape.string.text->empty()) shape.types &= ~Type::kString;
  if ((shape.types & Type::kArray) != 0) {
    shape.array = arrays_of(choice, undeclared);
    if (shape.array.min_items > shape.array.max_items) shape.types &= ~Type::kArray;
  }
  if ((shape.types & Type::kObject) != 0) {
    shape.object = ObjectMerger(*this, choice, undeclared).merge();
    if (shape.object.min_properties > shape.object.max_properties) shape.types &= ~Type::kObject;
  }
  if (values) {
    std::erase_if(*values, [&](const Json& value) { return !accepts(shape, value, undeclared); });
    shape.values = std::move(values);
  }
  return shape;
}

std::optional<std::vector<Json>> SchemaShapes::values_of(const SchemaChoice& choice) {
  std::optional<std::vector<Json>> values;
  const auto narrow = [&](std::vector<Json> allowed) {
    if (values) {
      std::erase_if(allowed, [&](const Json& value) {
        return std::none_of(values->begin(), values->end(),
                            [&](const Json& other) { return same_value(value, other); });
      });
    }
    values = std::move(allowed);
  };
  for (const auto& entry : choice.entries) {
    if (const Json* value = document_.keyword(entry.schema, "const")) narrow({*value});
    if (const Json* list = document_.keyword(entry.schema, "enum")) {
      narrow(std::vector<Json>(list->begin(), list->end()));
    }
  }
  return values;
}

unsigned SchemaShapes::types_of(const SchemaChoice& choice) {
  constexpr const char* kOfObjects[] = {"properties",        "additionalProperties",
                                        "patternProperties", "unevaluatedProperties",
                                        "propertyNames",     "required"};
  constexpr const char* kOfArrays[] = {"items", "prefixItems", "unevaluatedItems"};
  unsigned types = Type::kAll;
  bool told = false, of_objects = !choice.required.empty() || !choice.absent.empty();
  bool of_arrays = false;
  for (const auto& entry : choice.entries) {
    const SchemaId id = entry.schema;
    const auto has = [&](const char* name) { return document_.keyword(id, name) != nullptr; };
    if (const Json* type = document_.keyword(id, "type")) {
      told = true;
      unsigned allowed = 0;
      if (type->is_string()) allowed = type_of_name(type->get<std::string>());
      for (const Json& name : type->is_array() ? *type : Json::array()) {
        allowed |= type_of_name(name.get<std::string>());
      }
      types &= allowed;
    }
    told |= has("const") || has("enum");
    of_objects |= std::any_of(std::begin(kOfObjects), std::end(kOfObjects), has);
    of_arrays |= std::any_of(std::begin(kOfArrays), std::end(kOfArrays), has);
  }
  if (!told && of_objects) return Type::kObject;
  if (!told && of_arrays) return Type::kArray;
  return types;
}

void SchemaShapes::read_numbers(SchemaId id, NumberSpec& spec) {
  const auto bound = [&](const char* keyword, bool exclusive) -> std::optional<NumberBound> {
    const Json* value = document_.keyword(id, keyword);
    if (value == nullptr) return std::nullopt;
    NumberBound bound{decimal_of(*value), exclusive};
    if (bound.value.integer.size() > kMaxBoundDigits) {
      document_.fail(id, keyword, "the bound has more than 300 digits");
    }
    return bound;
  };
  if (const auto low = bound("minimum", false)) narrow_low(spec.low, *low);
  if (const auto low = bound("exclusiveMinimum", true)) narrow_low(spec.low, *low);
  if (const auto high = bound("maximum", false)) narrow_high(spec.high, *high);
  if (const auto high = bound("exclusiveMaximum", true)) narrow_high(spec.high, *high);
  if (const Json* format = document_.keyword(id, "format")) {
    // OpenAPI 3, data types.
    if (*format == "int32" || *format == "int64") {
      const bool narrow = *format == "int32";
      narrow_low(spec.low, {decimal_of(Json(narrow ? int64_t{INT32_MIN} : INT64_MIN)), false});
      narrow_high(spec.high, {decimal_of(Json(narrow ? int64_t{INT32_MAX} : INT64_MAX)), false});
    }
  }
  if (const Json* multiple = document_.keyword(id, "multipleOf")) {
    const double value = multiple->get<double>();
    if (value < 1 || value > grammar_limits::kMaxMultipleOf || std::floor(value) != value) {
      document_.fail(id, "multipleOf", "only whole numbers up to 10000 can be enforced");
    }
    spec.multiple_of = std::lcm(spec.multiple_of, static_cast<uint64_t>(value));
    if (spec.multiple_of > grammar_limits::kMaxMultipleOf) {
      document_.fail(id, "multipleOf", "the common multiple is more than 10000");
    }
    spec.integer = true;
  }
}

void SchemaShapes::read_strings(SchemaId id, StringSpec& spec) {
  spec.min_length = std::max(spec.min_length, count_of(id, "minLength", 0));
  spec.max_length = std::min(spec.max_length, count_of(id, "maxLength", UINT32_MAX));
  for (const char* keyword : {"pattern", "format"}) {
    const Json* text = document_.keyword(id, keyword);
    if (text == nullptr) continue;
    const auto& name = text->get_ref<const std::string&>();
    const bool of_numbers =
        name == "int32" || name == "int64" || name == "float" || name == "double";
    if (keyword == std::string_view("format") && of_numbers) continue;
    auto dfa = expression(id, keyword, name);
    if (!spec.text) {
      spec.text = std::move(dfa);
      continue;
    }
    try {
      spec.text = std::make_shared<const Dfa>(intersection(*spec.text, *dfa));
    } catch (const Error& error) {
      document_.fail(id, keyword, error.what());
    }
  }
}

// Brings the bounds of the length into the expression. `id`: for the message, if it has them.
void SchemaShapes::keep_length(SchemaId id, StringSpec& spec) {
  for (const char* keyword : {"minLength", "maxLength"}) {
    if (!spec.text || spec.text->empty() || document_.keyword(id, keyword) == nullptr) continue;
    const LengthRange range = length_range(*spec.text);
    if (range.least >= spec.min_length && range.most <= spec.max_length) continue;
    // A bound that the expression keeps by itself needs no states.
    const uint32_t most = range.most <= spec.max_length ? UINT32_MAX : spec.max_length;
    try {
      spec.text = std::make_shared<const Dfa>(
          intersection(*spec.text, dfa_of_length(spec.min_length, most)));
    } catch (const Error& error) {
      document_.fail(id, keyword, error.what());
    }
  }
}

// The values of "pattern" and "format", and the keys of "patternProperties".
std::shared_ptr<const Dfa> SchemaShapes::expression(SchemaId id, const std::string& keyword,
                                                    const std::string& text) {
  const bool is_format = keyword == "format";
  auto& known = expressions_[{is_format ? keyword : "pattern", text}];
  if (known) return known;
  try {
    if (is_format) {
      auto dfa = format_text(text);
      if (!dfa)
        throw Error(ErrorKind::kUsage, "this format cannot be enforced: " + printable(text));
      known = std::make_shared<const Dfa>(*std::move(dfa));
    } else {
      known = std::make_shared<const Dfa>(parse_regex(text, RegexMatch::kSearch));
    }
  } catch (const Error& error) {
    document_.fail(id, keyword, error.what());
  }
  return known;
}

uint32_t SchemaShapes::count_of(SchemaId id, const char* keyword, uint32_t otherwise) {
  const Json* value = document_.keyword(id, keyword);
  if (value == nullptr) return otherwise;
  const double count = value->get<double>();
  if (otherwise == 0 && count > grammar_limits::kMaxCount) {
    document_.fail(id, keyword, "no answer gets as long as that",
                   "at most " + std::to_string(grammar_limits::kMaxCount));
  }
  return count >= UINT32_MAX ? UINT32_MAX : static_cast<uint32_t>(count);
}

ArraySpec SchemaShapes::arrays_of(const SchemaChoice& choice, Undeclared undeclared) {
  const auto& entries = choice.entries;
  ArraySpec spec;
  size_t longest = 0;
  bool declares = false;
  const auto prefix_of = [&](size_t e) {
    const Json* prefix = document_.keyword(entries[e].schema, "prefixItems");
    return prefix == nullptr ? size_t{0} : prefix->size();
  };
  for (size_t e = 0; e < entries.size(); ++e) {
    const SchemaId id = entries[e].schema;
    longest = std::max(longest, prefix_of(e));
    for (const char* keyword : {"items", "prefixItems", "unevaluatedItems"}) {
      declares |= document_.keyword(id, keyword) != nullptr;
    }
    spec.min_items = std::max(spec.min_items, count_of(id, "minItems", 0));
    spec.max_items = std::min(spec.max_items, count_of(id, "maxItems", UINT32_MAX));
  }
  if (longest > grammar_limits::kMaxPrefixItems) {
    document_.fail(entries.front().schema, "prefixItems", "too many items",
                   "at most " + std::to_string(grammar_limits::kMaxPrefixItems));
  }
  // JSON Schema core, 10.3.1 and 11.2: the schemas of item i; nothing when none speaks of it.
  const auto item = [&](size_t i) -> std::optional<Conjunction> {
    Conjunction value;
    bool spoken = false;
    std::vector<bool> evaluated(entries.size(), false);
    for (size_t e = 0; e < entries.size(); ++e) {
      const SchemaId id = entries[e].schema;
      if (i < prefix_of(e)) {
        add_schema(document_, value, document_.child(id, "prefixItems", i));
      } else if (document_.keyword(id, "items") != nullptr) {
        add_schema(document_, value, document_.child(id, "items"));
      } else {
        continue;
      }
      evaluated[e] = spoken = true;
    }
    for (size_t e = entries.size(); e-- > 0;) {
      const SchemaId id = entries[e].schema;
      if (document_.keyword(id, "unevaluatedItems") == nullptr) continue;
      bool known = false;
      for (size_t other = e; other < entries.size() && !known; ++other) {
        known = evaluated[other] && choice.is_within(other, e);
      }
      if (known) continue;
      add_schema(document_, value, document_.child(id, "unevaluatedItems"));
      evaluated[e] = spoken = true;
    }
    return spoken ? std::optional(std::move(value)) : std::nullopt;
  };
  for (size_t i = 0; i < longest; ++i) spec.prefix.push_back(*item(i));
  spec.rest = item(longest);
  if (!spec.rest && (!declares || undeclared == Undeclared::kOpen)) spec.rest.emplace();
  if (!spec.rest) spec.max_items = std::min(spec.max_items, static_cast<uint32_t>(longest));
  for (const auto& entry : entries) {
    const Json* unique = document_.keyword(entry.schema, "uniqueItems");
    if (unique != nullptr && unique->get<bool>() && spec.max_items > 1) {
      document_.fail(entry.schema, "uniqueItems", "this keyword cannot be enforced",
                     "leave it out, or set maxItems to 1");
    }
  }
  return spec;
}

bool SchemaShapes::accepts(const Conjunction& conjunction, const Json& value,
                           Undeclared undeclared) {
  const auto& shapes = of(conjunction, undeclared);
  return std::any_of(shapes.begin(), shapes.end(),
                     [&](const SchemaShape& shape) { return accepts(shape, value, undeclared); });
}

bool SchemaShapes::accepts(const SchemaShape& shape, const Json& value, Undeclared undeclared) {
  if (shape.values &&
      std::none_of(shape.values->begin(), shape.values->end(),
                   [&](const Json& allowed) { return same_value(value, allowed); })) {
    return false;
  }
  if ((shape.types & type_of_value(value)) == 0) return false;
  if (value.is_number()) return contains(shape.number, value);
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    const uint32_t length = code_points(text);
    return length >= shape.string.min_length && length <= shape.string.max_length &&
           (!shape.string.text || shape.string.text->matches(text));
  }
  if (value.is_array()) {
    if (value.size() < shape.array.min_items || value.size() > shape.array.max_items) return false;
    for (size_t i = 0; i < value.size(); ++i) {
      const bool in_prefix = i < shape.array.prefix.size();
      if (!in_prefix && !shape.array.rest) return false;
      const Conjunction& item = in_prefix ? shape.array.prefix[i] : *shape.array.rest;
      if (!accepts(item, value[i], undeclared)) return false;
    }
    return true;
  }
  if (!value.is_object()) return true;
  const ObjectSpec& object = shape.object;
  if (value.size() < object.min_properties || value.size() > object.max_properties) return false;
  for (const auto& property : object.properties) {
    const auto it = value.find(property.name);
    if (it == value.end() ? property.required : !accepts(property.value, *it, undeclared)) {
      return false;
    }
  }
  for (auto it = value.begin(); it != value.end(); ++it) {
    const std::string& key = it.key();
    const bool declared = std::any_of(object.properties.begin(), object.properties.end(),
                                      [&](const auto& property) { return property.name == key; });
    if (declared) continue;
    const auto others =
        std::find_if(object.others.begin(), object.others.end(),
                     [&](const auto& one) { return !one.keys || one.keys->matches(key); });
    if (others == object.others.end() || !accepts(others->value, *it, undeclared)) return false;
  }
  return true;
}

}  // namespace gemma4
