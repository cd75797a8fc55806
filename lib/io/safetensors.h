// Reading safetensors files: every rule of the format is checked before any tensor is handed out.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "lib/base/tensor.h"
#include "lib/io/mapped_file.h"

namespace gemma4 {

inline constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;
inline constexpr size_t kMaxTensorNameBytes = 512;
inline constexpr size_t kMaxTensorRank = 8;

/// What the header of a safetensors file says. `data` of each tensor points into the bytes that
/// were parsed, at any alignment: the format promises none, so copy values out with memcpy or
/// unaligned loads. The values themselves are not looked at.
struct SafetensorsContents {
  std::map<std::string, Tensor, std::less<>> tensors;
  std::map<std::string, std::string, std::less<>> metadata;  // "__metadata__"
};

/// Checks and reads a whole file in memory: u64 length of the header, the header (a JSON object
/// name -> {dtype, shape, data_offsets}), the data. The tensors must cover the data exactly.
/// Throws Error(kModel) that names `origin` (the file) and the tensor.
SafetensorsContents parse_safetensors(std::span<const std::byte> file, std::string_view origin);

/// A mapped safetensors file. Its tensors are valid as long as it (or the object it was moved
/// into) lives.
class SafetensorsFile {
 public:
  /// Throws Error(kModel) when the file cannot be mapped or breaks a rule of the format.
  explicit SafetensorsFile(const std::filesystem::path& path);

  const std::map<std::string, Tensor, std::less<>>& tensors() const { return contents_.tensors; }
  const std::map<std::string, std::string, std::less<>>& metadata() const {
    return contents_.metadata;
  }
  std::optional<Tensor> find(std::string_view name) const;
  const std::filesystem::path& path() const { return file_.path(); }

  /// Reads a tensor of this file ahead, or drops its pages from this process.
  void advise_willneed(const Tensor& tensor) const;
  void release(const Tensor& tensor) const;

 private:
  uint64_t offset_of(const Tensor& tensor) const;

  MappedFile file_;
  SafetensorsContents contents_;
};

}  // namespace gemma4
