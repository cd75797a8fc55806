// JSON schemas (draft 2020-12) as grammars of the JSON texts that are valid.
//
// Enforced: type, const, enum, $ref within the document (recursive too), allOf, anyOf, oneOf whose
// branches can be shown to exclude each other, properties, required, additionalProperties,
// unevaluatedProperties, patternProperties, propertyNames, minProperties, maxProperties,
// dependentRequired, dependentSchemas, items, prefixItems, unevaluatedItems, minItems, maxItems,
// uniqueItems of at most one item, minLength, maxLength, pattern (regex_parser.h), format
// (string_formats.h, and OpenAPI's formats of numbers), minimum, maximum, exclusiveMinimum,
// exclusiveMaximum, multipleOf of whole numbers. Defaults: schema_shapes.h. Annotations and x-...
// are ignored. Everything else is refused by name: nothing is weakened.
//
// The answer has declared properties in the order of the schema, others behind them; up to
// limits.h's kWhitespaceCap blanks between elements; texts with characters as themselves or, where
// nothing restricts the text, with any escape of JSON; numbers as number_text.h says. Keys that
// the schema does not name may repeat (the last counts, and all of them are valid), which is why
// minProperties can only ask for one of them.
#pragma once

#include "lib/io/json.h"
#include "lib/text/grammar/grammar.h"

namespace gemma4 {

/// `schema`: parsed without duplicate keys. Throws Error(kUsage) that names the JSON pointer.
Grammar json_schema_grammar(const Json& schema);

/// Any JSON object.
Grammar json_object_grammar();

}  // namespace gemma4
