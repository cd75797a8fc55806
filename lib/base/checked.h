// Overflow-checked arithmetic for sizes that come from files.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

namespace gemma4 {

inline std::optional<uint64_t> checked_multiply(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

inline std::optional<uint64_t> checked_add(uint64_t a, uint64_t b) {
  uint64_t result;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

/// Product of all dimensions; nullopt when it does not fit in 63 bits.
inline std::optional<uint64_t> checked_element_count(std::span<const int64_t> shape) {
  uint64_t count = 1;
  for (const int64_t dim : shape) {
    if (dim < 0) return std::nullopt;
    const auto next = checked_multiply(count, static_cast<uint64_t>(dim));
    if (!next || *next > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
    count = *next;
  }
  return count;
}

}  // namespace gemma4
