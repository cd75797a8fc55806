// --cache-weights: matrices that were quantised while loading, kept in one file beside the
// checkpoint, so that the next start maps them instead of making them again.
//
// The file is a safetensors file: of each module "<module>.codes" U8 [rows, row bytes],
// "<module>.scales" [rows, groups] and "<module>.checksum" over both. Its metadata hold a key of
// the checkpoint's files, the options and this layout. A file with another key, or that does not
// hold together, is made anew; one that cannot be written is a warning.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lib/io/safetensors.h"
#include "lib/model/tensor_source.h"
#include "lib/model/text_weights.h"

namespace gemma4 {

class WeightCache {
 public:
  /// Looks for the cache of the checkpoint in `directory`, and reads all of it once to see that it
  /// is whole.
  WeightCache(const std::filesystem::path& directory, const WeightChoice& choice);

  bool usable() const { return file_.has_value(); }
  /// The matrix of a module, in the mapped file; nullptr when the cache has none of this shape.
  std::shared_ptr<const QuantizedMatrix> find(const std::string& module, int64_t rows,
                                              int64_t cols) const;
  /// Whether there is a matrix of this module in any shape.
  bool has(const std::string& module) const;

  /// Keeps the matrices of `weights` that own their codes, by the names they have below `prefix`.
  void save(const TextWeights& weights, const std::string& prefix) const;

 private:
  std::filesystem::path path_;
  std::string key_;
  int linear_bits_;
  int head_bits_;
  std::optional<SafetensorsFile> file_;
};

/// `source` with the cache's matrices in place of its own. Both outlive it, and the cache outlives
/// the weights.
class CachedTensors : public TensorSource {
 public:
  CachedTensors(TensorSource& source, const WeightCache& cache) : source_(source), cache_(cache) {}

  bool has(const std::string& name) const override;
  bool has_matrix(const std::string& module) const override;
  const Tensor& take(const std::string& name, const std::vector<int64_t>& shape) override {
    return source_.take(name, shape);
  }
  Weight matrix(const std::string& module, int64_t rows, int64_t cols) override;
  Vector vector(const std::string& name, int64_t size) override {
    return source_.vector(name, size);
  }
  float scalar(const std::string& name) override { return source_.scalar(name); }
  void release(const Weight& weight) const override { source_.release(weight); }
  void ignore(const std::string& name) override { source_.ignore(name); }
  void ignore_prefix(std::string prefix) override { source_.ignore_prefix(std::move(prefix)); }

 private:
  TensorSource& source_;
  const WeightCache& cache_;
};

}  // namespace gemma4
