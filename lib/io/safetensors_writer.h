// Writing safetensors files tensor by tensor, without holding them in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/tensor.h"
#include "lib/io/atomic_file.h"

namespace gemma4 {

struct TensorDeclaration {
  std::string name;
  Dtype dtype;
  std::vector<int64_t> shape;
};

/// All tensors are declared at construction, which fixes the header and where each one lies (large
/// elements first, then by name, so that all are naturally aligned). Then the data come, tensors
/// in any order, the parts of one tensor one after the other; commit() ends the file. Without it
/// nothing appears under `path`. Not for use from several threads at once.
class SafetensorsWriter {
 public:
  /// `metadata` is added to "__metadata__", which always holds "format": "pt". Throws
  /// Error(kInternal) for a declaration that the format forbids (a name twice, say), and
  /// Error(kResource) when the file cannot be created or the disk cannot hold it.
  SafetensorsWriter(const std::filesystem::path& path,
                    const std::vector<TensorDeclaration>& tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// The next bytes of a tensor: all of it, or part after part. Throws Error(kInternal) for a name
  /// that was not declared or more bytes than its shape has, Error(kResource) when writing fails.
  void write(std::string_view name, std::span<const std::byte> bytes);

  /// Throws Error(kInternal) when a tensor is not complete, Error(kResource) as above.
  void commit();

 private:
  struct Place {
    uint64_t begin = 0;  // from the start of the file
    uint64_t size = 0;
    uint64_t written = 0;
  };

  [[noreturn]] void fail(std::string_view name, const std::string& reason) const;

  AtomicFile file_;
  std::map<std::string, Place, std::less<>> places_;
};

}  // namespace gemma4
