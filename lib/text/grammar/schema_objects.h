// The keywords of objects, merged over all schemas that apply together.
#pragma once

#include "lib/text/grammar/schema_shapes.h"

namespace gemma4 {

/// The values of key `k` must fit, for each schema: its properties[k], every patternProperties
/// that matches k, and where there is neither, its additionalProperties; JSON Schema core, 10.3.2.
/// unevaluatedProperties sees what its own schema and those reached from it declare (11.3).
class ObjectMerger {
 public:
  ObjectMerger(SchemaShapes& shapes, const SchemaChoice& choice, Undeclared undeclared);
  ObjectSpec merge();

 private:
  struct Pattern {
    size_t entry;
    SchemaId schema;
    std::shared_ptr<const Dfa> keys;
  };
  // What one schema says about a key; `declares`: by name, by pattern, or about all others.
  struct Verdict {
    std::optional<Conjunction> value;  // nothing: no schema speaks of the key
  };

  void collect();
  Verdict verdict(const std::vector<bool>& named, const std::string* name,
                  const std::vector<bool>& matched);
  void add_properties(ObjectSpec& spec);
  void add_others(ObjectSpec& spec);
  std::shared_ptr<const Dfa> allowed_keys();

  SchemaShapes& shapes_;
  SchemaDocument& document_;
  const SchemaChoice& choice_;
  Undeclared undeclared_;
  std::vector<Pattern> patterns_;
  std::vector<std::string> names_;
  std::set<std::string> required_;
  std::shared_ptr<const Dfa> key_language_;  // of propertyNames; null: any
  bool declares_ = false;                    // some schema says which keys there are
};

}  // namespace gemma4
