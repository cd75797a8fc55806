// Writes a quantised copy of a checkpoint directory that vLLM, transformers and this engine read
// as compressed-tensors. Streaming: at any time a few tensors are in memory, not the model.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/quant/quantize_plan.h"

namespace gemma4 {

struct QuantizeProgress {
  uint64_t source_bytes_done = 0;
  uint64_t source_bytes = 0;
  std::string_view tensor;
};

struct QuantizedModule {
  std::string name;
  double relative_error = 0.0;  // rms(W - dequantised) / rms(W)
  double squares = 0.0;         // sum of W^2
  double on_grid = 0.0;         // share of groups on a QAT grid, where one was looked for
  bool used_grid = false;
};

struct QuantizeReport {
  std::vector<QuantizedModule> modules;
  uint64_t source_bytes = 0;
  uint64_t output_bytes = 0;
};

using AcceptQuantized =
    std::function<void(const std::filesystem::path& written, const QuantizeReport& report)>;

/// Reads `source`, writes the directory `destination`: safetensors of at most shard_bytes,
/// config.json with a quantization_config, and copies of the other files (tokenizer, templates,
/// processor settings). The same input and options give the same bytes for any number of threads.
///
/// All is written to "<destination>.partial" and renamed at the end, so that the final name never
/// holds half a checkpoint; `source` is only read. On an error, or when `progress` throws, the
/// partial directory is removed; after a kill it stays and the next run refuses until it is
/// removed, or `options.force` replaces it.
/// `accept` is shown the finished directory before it gets its name; when it throws, nothing is
/// left.
/// Throws Error(kUsage) when the two directories are one or one lies in the other, or
/// `destination` exists (with force: exists and is not a checkpoint or an empty directory);
/// Error(kResource) when the disk is full; and what plan_quantization and quantize throw.
QuantizeReport quantize_checkpoint(const std::filesystem::path& source,
                                   const std::filesystem::path& destination,
                                   const QuantizeOptions& options,
                                   const std::function<void(const QuantizeProgress&)>& progress,
                                   const AcceptQuantized& accept = {});

}  // namespace gemma4
