#include "lib/quant/scale_check.h"

#include <atomic>
#include <cstring>

#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

constexpr int64_t kBlock = 64 << 10;

/// Whether some value has all of `exponent`'s bits (infinite or NaN) or no bit but the sign (0).
template <typename Word>
bool any_unusable(const void* data, int64_t count, Word exponent, Word magnitude) {
  std::atomic<bool> found = false;
  parallel_ranges(count, kBlock, [&](int64_t begin, int64_t end) {
    bool bad = false;
    for (int64_t i = begin; i < end; ++i) {
      Word word;
      std::memcpy(&word, static_cast<const std::byte*>(data) + i * int64_t{sizeof(Word)},
                  sizeof(Word));
      bad |= (word & exponent) == exponent || (word & magnitude) == 0;
    }
    if (bad) found = true;
  });
  return found;
}

}  // namespace

void check_scales(const Tensor& tensor, const std::string& name) {
  bool bad = false;
  if (tensor.dtype == Dtype::kF32) {
    bad = any_unusable<uint32_t>(tensor.data, tensor.elements(), 0x7F800000u, 0x7FFFFFFFu);
  } else {
    const uint16_t exponent = tensor.dtype == Dtype::kBf16 ? 0x7F80u : 0x7C00u;
    bad = any_unusable<uint16_t>(tensor.data, tensor.elements(), exponent, 0x7FFFu);
  }
  if (bad) {
    throw Error(ErrorKind::kModel, "a scale is 0, NaN or infinite", name,
                "the checkpoint is damaged");
  }
}

}  // namespace gemma4
