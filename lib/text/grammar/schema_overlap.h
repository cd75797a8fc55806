// Proof that the branches of a "oneOf" exclude each other.
#pragma once

#include "lib/text/grammar/schema_shapes.h"

namespace gemma4 {

/// Throws Error(kUsage) unless no value that we write for one branch of the schema's "oneOf" fits
/// another branch. The proof looks at types, listed values, ranges, lengths, expressions, and for
/// objects and arrays at required members that exclude each other.
void require_exclusive_branches(SchemaShapes& shapes, SchemaId schema);

}  // namespace gemma4
