#include "lib/text/content_hash.h"

#include <cstring>

namespace gemma4 {
namespace {

// Odd constants with half of their bits set: digits of the golden ratio and of sqrt(2), sqrt(3), e.
constexpr uint64_t kSecret[4] = {0x9E3779B97F4A7C15u, 0x6A09E667F3BCC909u, 0xBB67AE8584CAA73Bu,
                                 0xADF85458A2BB4A9Bu};

__extension__ typedef unsigned __int128 Wide;

// Both halves of the product, folded.
uint64_t multiply_fold(uint64_t a, uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t word_at(const char* at) {
  uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

}  // namespace

uint64_t content_hash(std::string_view bytes) {
  constexpr size_t kStep = 64;
  uint64_t lanes[4] = {kSecret[1], kSecret[2], kSecret[3], kSecret[0] ^ bytes.size()};
  const auto mix = [&lanes](const char* at) {
    for (int i = 0; i < 4; ++i) {
      lanes[i] = multiply_fold(lanes[i] ^ word_at(at + 16 * i) ^ kSecret[i],
                               word_at(at + 16 * i + 8) ^ kSecret[(i + 1) % 4]) +
                 word_at(at + 16 * i);
    }
  };
  while (bytes.size() >= kStep) {
    mix(bytes.data());
    bytes.remove_prefix(kStep);
  }
  char rest[kStep] = {};
  if (!bytes.empty()) std::memcpy(rest, bytes.data(), bytes.size());
  mix(rest);
  uint64_t hash = 0;
  for (int i = 0; i < 4; ++i) hash = multiply_fold(hash ^ lanes[i], kSecret[i]) + lanes[i];
  return multiply_fold(hash ^ kSecret[2], kSecret[3]);
}

}  // namespace gemma4
