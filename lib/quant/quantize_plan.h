// What `gemma4 quantize` will do with each tensor of a checkpoint, before any of it is done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/io/checkpoint.h"
#include "lib/io/json.h"
#include "lib/io/safetensors_writer.h"
#include "lib/quant/quantize.h"

namespace gemma4 {

enum class QuantizeScheme : uint8_t { kInt8, kW4A16 };

struct QuantizeOptions {
  QuantizeScheme scheme = QuantizeScheme::kW4A16;
  int64_t group_size = 32;                  // of kW4A16
  RoundingRule rule = RoundingRule::kAuto;  // of kW4A16
  /// Modules that stay as stored: names in which "*" stands for any text, or "re:..." regular
  /// expressions anchored at the start. The experts of a layer are kept together, by the name of
  /// their tensor ("...layers.0.experts.gate_up_proj").
  std::vector<std::string> keep{};
  /// The output head, which otherwise stays as stored. Unties it from the embedding.
  std::optional<QuantizeScheme> lm_head{};
  /// Quantises experts to 4 bits though they are too narrow, and replaces DST.
  bool force = false;
  uint64_t shard_bytes = 5'000'000'000;  // a file holds at most this, or one tensor
};

/// One matrix to quantise: rows [first_row, first_row + rows) of source tensor `source` seen as a
/// matrix of `cols` columns, written as `module`.weight_packed, .weight_scale, .weight_shape.
struct PlannedMatrix {
  std::string module;
  std::string source;
  int64_t first_row = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  QuantizeFormat format;
};

/// Sizes of the tensors that one source tensor turns into.
struct PlannedTensor {
  std::string source;
  std::vector<PlannedMatrix> matrices;  // empty: copied as it is
  bool copied = false;  // also of the tied embedding, which is both copied and quantised
  uint64_t source_bytes = 0;
  uint64_t output_bytes = 0;
};

struct QuantizePlan {
  std::vector<PlannedTensor> tensors;  // in the order they are written
  uint64_t source_bytes = 0;
  uint64_t output_bytes = 0;
  int64_t quantized_matrices = 0;
  Json config;  // the new config.json
};

/// Throws Error(kModel) when the checkpoint is quantised already, has no text linears, is not
/// F32, BF16 or F16, has columns that groups do not divide, experts too narrow for 4 bits (without
/// force), or when `keep` would tear apart matrices that vLLM fuses (q, k and v; gate and up);
/// Error(kUsage) for options that cannot be.
QuantizePlan plan_quantization(const Checkpoint& source, const QuantizeOptions& options);

/// Names, dtypes and shapes of what `tensor` is written as.
std::vector<TensorDeclaration> declarations_of(const Checkpoint& source,
                                               const PlannedTensor& tensor);
/// weight_packed, weight_scale and weight_shape of one matrix whose source is of `dtype`.
std::vector<TensorDeclaration> declarations_of(Dtype dtype, const PlannedMatrix& matrix);

}  // namespace gemma4
