// A JSON schema, its subschemas by number, and where each stands. Every subschema is checked for
// unknown keywords and values of the wrong type when it is first asked for.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/io/json.h"

namespace gemma4 {

using SchemaId = uint32_t;

class SchemaDocument {
 public:
  static constexpr SchemaId kRoot = 0;

  /// Throws Error(kUsage) naming the JSON pointer, like every function here.
  explicit SchemaDocument(Json root);

  /// An object, or a boolean.
  const Json& json(SchemaId id) const { return *nodes_[id].json; }
  bool is_object(SchemaId id) const { return json(id).is_object(); }
  /// The value of a keyword, or null when the schema does not have it.
  const Json* keyword(SchemaId id, std::string_view name) const;

  /// The subschema that is the value of `keyword`, or its entry `key` or `index`.
  SchemaId child(SchemaId id, const std::string& keyword);
  SchemaId child(SchemaId id, const std::string& keyword, const std::string& key);
  SchemaId child(SchemaId id, const std::string& keyword, size_t index);
  /// What the schema's "$ref" means: "#" or "#/...", within the document.
  SchemaId target_of_ref(SchemaId id);

  /// The schema with a keyword left out, as a schema of its own.
  SchemaId without(SchemaId id, const std::string& keyword);
  /// The schema that no value fits.
  SchemaId nothing();

  /// True when the schema asks for nothing: true, {}.
  bool allows_all(SchemaId id) const;

  /// "schema /properties/a": for messages; `keyword` is added to it.
  std::string place(SchemaId id, std::string_view keyword = {}) const;
  [[noreturn]] void fail(SchemaId id, std::string_view keyword, std::string_view what,
                         std::string_view hint = {}) const;

 private:
  struct Node {
    const Json* json;
    std::string pointer;
  };
  SchemaId id_of(const Json& json, std::string pointer);
  void check(SchemaId id) const;

  std::deque<Json> owned_;  // the document first; its values never move
  std::deque<Node> nodes_;
  std::unordered_map<const Json*, SchemaId> ids_;
};

}  // namespace gemma4
