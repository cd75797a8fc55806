// Which subschemas apply to one value together, and the choices that anyOf and its like leave.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "lib/text/grammar/schema_document.h"

namespace gemma4 {

/// Schemas that all apply to one value: sorted, each once; none: any value.
using Conjunction = std::vector<SchemaId>;

/// Adds a schema, unless it asks for nothing.
void add_schema(const SchemaDocument& document, Conjunction& conjunction, SchemaId id);

/// One way through all choices: the schemas that then apply, with $ref and allOf followed.
struct SchemaChoice {
  struct Entry {
    SchemaId schema;  // an object
    int parent;       // the entry whose keyword led here; -1: none
  };
  std::vector<Entry> entries;                 // in the order of the document
  std::vector<std::string> required, absent;  // keys, from dependentRequired and dependentSchemas

  /// True when `entry` is `ancestor` or was reached from it.
  bool is_within(size_t entry, size_t ancestor) const;
};

/// All ways; none: no value fits. Choices that hold `false` are left out. "oneOf" counts as
/// "anyOf" here, and is noted in `one_ofs`: whoever asks must see to it that no value fits two of
/// the branches. Throws Error(kUsage) on references that lead in a circle, and past kMaxCombined
/// or kMaxAlternatives of limits.h.
std::vector<SchemaChoice> expand(SchemaDocument& document, const Conjunction& conjunction,
                                 std::set<SchemaId>& one_ofs);

}  // namespace gemma4
