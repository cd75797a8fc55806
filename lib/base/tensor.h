// Tensor: a view of a row-major array (shape, dtype, address). It owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gemma4 {

/// Element types that a safetensors file can name. Sub-byte types never reach a kernel.
enum class Dtype : uint8_t {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kF8E4M3Fnuz,
  kF8E5M2Fnuz,
  kI16,
  kU16,
  kF16,
  kBf16,
  kI32,
  kU32,
  kF32,
  kC64,
  kF64,
  kI64,
  kU64,
  kF4,
  kF6E2M3,
  kF6E3M2,
};

/// Bits of one element.
int dtype_bits(Dtype dtype);
/// The safetensors spelling, e.g. "BF16".
std::string_view dtype_name(Dtype dtype);
/// nullopt for a spelling that the safetensors format does not define.
std::optional<Dtype> dtype_from_name(std::string_view name);

/// A view. `data` lies where its backend says: host memory for files, the reference and the CPU
/// backend, device memory for a GPU. Alignment is that of its owner (a mapped file: none).
struct Tensor {
  const void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> shape;  // [] is a scalar

  int64_t elements() const;
  /// Bytes of the whole array, rounded up; only for shapes that were checked on entry.
  size_t bytes() const;
};

/// "[4, 16]"
std::string shape_text(const std::vector<int64_t>& shape);

}  // namespace gemma4
