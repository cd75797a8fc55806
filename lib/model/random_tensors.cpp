#include "lib/model/random_tensors.h"

#include <cstring>
#include <functional>

#include "kernels/host_buffer.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"

namespace gemma4 {
namespace {

// Four bf16 values: random sign and mantissa, and an exponent that keeps products of this model's
// widths near 1 (magnitudes from 2^-6 to 2^-5).
uint64_t random_bf16x4(uint64_t counter) {
  uint64_t z = counter * 0x9E3779B97F4A7C15u;
  z ^= z >> 32;
  z *= 0xD6E8FEB86659FD93u;
  z ^= z >> 32;
  return (z & 0x807F807F807F807Fu) | 0x3C803C803C803C80u;
}

}  // namespace

const Tensor& RandomTensors::take(const std::string& name, const std::vector<int64_t>&) {
  throw Error(ErrorKind::kInternal, "random weights have no plain tensor", name);
}

Weight RandomTensors::matrix(const std::string& module, int64_t rows, int64_t cols) {
  const auto words = static_cast<int64_t>((rows * cols + 3) / 4);
  std::shared_ptr<Buffer> buffer = allocate_host_buffer(static_cast<size_t>(words) * 8);
  if (!module.ends_with("embed_tokens_per_layer")) {
    auto* out = static_cast<uint64_t*>(buffer->data());
    const uint64_t seed = std::hash<std::string>{}(module);
    parallel_ranges(words, 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[i] = random_bf16x4(seed + static_cast<uint64_t>(i));
    });
  }
  Weight weight;
  weight.name = module;
  weight.rows = rows;
  weight.cols = cols;
  weight.dense = {buffer->data(), Dtype::kBf16, {rows, cols}};
  weight.owner = std::move(buffer);
  return weight;
}

Vector RandomTensors::vector(const std::string&, int64_t size) {
  const std::vector<float> ones(static_cast<size_t>(size), 1.0f);
  return ops_.upload({ones.data(), Dtype::kF32, {size}});
}

}  // namespace gemma4
