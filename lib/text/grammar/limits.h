// What a grammar from outside may cost. Every bound is on memory or on work, so that a hostile
// schema, expression or grammar is refused within a fraction of a second.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gemma4::grammar_limits {

inline constexpr size_t kMaxSourceBytes = size_t{1} << 22;  // text of one GBNF file or expression
inline constexpr int kMaxGroupDepth = 100;                  // nested groups in GBNF and expressions
inline constexpr uint32_t kMaxCount = 1000000;              // {n}: least repetitions
inline constexpr size_t kMaxNfaStates = 200000;             // one expression, quantifiers unrolled
inline constexpr size_t kMaxDfaStates = 100000;             // one expression, made deterministic
inline constexpr size_t kMaxDeterminizeWork = 20000000;     // NFA states visited for it
inline constexpr size_t kMaxAllDfaEdges = 8000000;          // all automata of one grammar
inline constexpr size_t kMaxNodes = 1000000;                // of one grammar
inline constexpr uint32_t kMaxNullableRepeat = 64;          // (a?){0,n}: repetitions of nothing
inline constexpr size_t kMaxStacks = 4096;                  // ways to read a text, at one time
inline constexpr size_t kMaxMaskWork = 50000000;            // frames visited for one token mask
inline constexpr size_t kMaxFrames = 4000000;               // of one sequence

// JSON schemas.
inline constexpr size_t kMaxSchemaRules = 20000;  // distinct combinations of subschemas
inline constexpr size_t kMaxAlternatives = 1024;  // anyOf, oneOf... multiplied out, of one value
inline constexpr size_t kMaxCombined = 1024;      // subschemas that apply to one value together
inline constexpr size_t kMaxProperties = 2000;    // of one object
inline constexpr size_t kMaxPrefixItems = 10000;  // of one array
inline constexpr size_t kMaxKeyClasses = 64;      // combinations of patterns of other keys
inline constexpr size_t kMaxEnumValues = 65536;   // of one enum
inline constexpr size_t kMaxCountedMembers = 200000;  // properties x count, for m..xProperties
inline constexpr uint64_t kMaxMultipleOf = 10000;
inline constexpr int kWhitespaceCap = 20;  // consecutive blanks between elements of JSON

}  // namespace gemma4::grammar_limits
