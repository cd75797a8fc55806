// What a schema says about a value, type by type: all keywords that apply together, merged.
//
// Defaults (spec tokenizer-chat.md, 8.1): keys and items that no schema declares are not allowed
// unless additionalProperties, unevaluatedProperties, items or unevaluatedItems say so. An object
// or array schema that declares nothing at all ({"type": "object"}) is open. Without "type", a
// schema with keywords of objects means objects, one with keywords of arrays means arrays.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lib/text/grammar/dfa.h"
#include "lib/text/grammar/number_text.h"
#include "lib/text/grammar/schema_combination.h"

namespace gemma4 {

/// "max" fields: UINT32_MAX is without end.
struct StringSpec {
  std::shared_ptr<const Dfa> text;                   // keeps the lengths too; null: any text
  uint32_t min_length = 0, max_length = UINT32_MAX;  // code points
};

struct ArraySpec {
  std::vector<Conjunction> prefix;
  std::optional<Conjunction> rest;  // nothing: no items beyond the prefix
  uint32_t min_items = 0, max_items = UINT32_MAX;
};

struct ObjectSpec {
  struct Property {
    std::string name;
    Conjunction value;
    bool required;
  };
  struct Others {
    std::shared_ptr<const Dfa> keys;  // null: any key
    Conjunction value;
  };
  std::vector<Property> properties;  // in the order of the answer
  std::vector<Others> others;        // other keys; apart from each other and from the properties
  uint32_t min_properties = 0, max_properties = UINT32_MAX;
  SchemaId schema = 0;  // one that it comes from, for messages
};

struct SchemaShape {
  enum Type : unsigned {
    kNull = 1,
    kBoolean = 2,
    kInteger = 4,
    kFraction = 8,  // numbers that are not whole
    kString = 16,
    kArray = 32,
    kObject = 64,
    kAll = 127,
  };
  unsigned types = kAll;
  /// With "enum" or "const": those of its values that the other keywords allow.
  std::optional<std::vector<Json>> values;
  NumberSpec number;
  StringSpec string;
  ArraySpec array;
  ObjectSpec object;
};

/// Whether what no schema declares is allowed: not in the answers that we write (kClosed), but in
/// those that a validator accepts (kOpen).
enum class Undeclared { kClosed, kOpen };

class SchemaShapes {
 public:
  explicit SchemaShapes(SchemaDocument& document) : document_(document) {}

  /// A value fits the schemas if it fits one of these. Throws Error(kUsage) with the place of a
  /// keyword that cannot be enforced. The reference stays valid.
  const std::vector<SchemaShape>& of(const Conjunction& conjunction, Undeclared undeclared);
  bool accepts(const Conjunction& conjunction, const Json& value, Undeclared undeclared);
  bool accepts(const SchemaShape& shape, const Json& value, Undeclared undeclared);

  SchemaDocument& document() { return document_; }
  /// Schemas whose "oneOf" was met and is not known to be exact.
  std::set<SchemaId> take_one_ofs() { return std::exchange(one_ofs_, {}); }

 private:
  SchemaShape shape_of(const SchemaChoice& choice, Undeclared undeclared);
  std::optional<std::vector<Json>> values_of(const SchemaChoice& choice);
  unsigned types_of(const SchemaChoice& choice);
  void read_numbers(SchemaId id, NumberSpec& spec);
  void read_strings(SchemaId id, StringSpec& spec);
  void keep_length(SchemaId id, StringSpec& spec);
  ArraySpec arrays_of(const SchemaChoice& choice, Undeclared undeclared);
  std::shared_ptr<const Dfa> expression(SchemaId id, const std::string& keyword,
                                        const std::string& text);
  uint32_t count_of(SchemaId id, const char* keyword, uint32_t otherwise);
  friend class ObjectMerger;

  SchemaDocument& document_;
  using Key = std::pair<Conjunction, Undeclared>;
  std::map<Key, std::vector<SchemaShape>> shapes_;
  std::set<Key> open_;  // being made
  std::map<std::pair<std::string, std::string>, std::shared_ptr<const Dfa>> expressions_;
  std::set<SchemaId> one_ofs_;
};

/// Number of code points of valid UTF-8.
uint32_t code_points(std::string_view text);

}  // namespace gemma4
