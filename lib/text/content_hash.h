// A fast 64-bit hash of file contents: names cache files and finds damage. Not cryptographic.
#pragma once

#include <cstdint>
#include <string_view>

namespace gemma4 {

/// Four lanes of 64 x 64 -> 128 bit multiplications, 16 bytes each a step: about memory speed.
uint64_t content_hash(std::string_view bytes);

}  // namespace gemma4
