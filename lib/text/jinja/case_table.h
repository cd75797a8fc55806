// Unicode's case mappings as ranges.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace gemma4::jinja {

/// Every `step`-th code point of first ... last maps to itself plus delta.
struct CaseRange {
  char32_t first;
  char32_t last;
  uint32_t step;
  int32_t delta;
};

/// A code point whose upper case is more than one code point (unused ones are 0).
struct LongUpper {
  char32_t from;
  std::array<char32_t, 3> to;
};

/// Sorted by first code point, beyond ASCII.
std::span<const CaseRange> upper_table();
std::span<const CaseRange> lower_table();
std::span<const LongUpper> long_upper_table();

}  // namespace gemma4::jinja
