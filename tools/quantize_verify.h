// `gemma4 quantize --verify`: how far the written checkpoint is from its source.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lib/io/json.h"
#include "lib/quant/quantize_checkpoint.h"
#include "lib/runtime/logit_comparison.h"

namespace gemma4 {

/// Weight error of a part of the model: rms(W - dequantised) / rms(W) over its quantised matrices.
struct PartError {
  std::string part;  // "layer 3", or a module outside the layers
  double relative_error = 0.0;
};

struct Verification {
  std::vector<PartError> parts;  // layers in order, then the rest
  double relative_error = 0.0;   // of all quantised matrices
  LogitComparison logits;
};

/// Compares logits of `source` and `written` with float32 activations and keys and values, so that
/// the weights alone differ. `text`: empty for the built-in one; without a tokenizer it is token
/// ids, and the built-in one 256 made-up ids. Scratch space: beside `written`.
/// Throws Error as Engine::load and compare_logits do; Error(kInput) for ids that are none.
Verification verify_quantized(const std::filesystem::path& source,
                              const std::filesystem::path& written, const QuantizeReport& report,
                              const std::string& text, int threads,
                              const std::function<void(int64_t done, int64_t total)>& progress);

/// {"relative_error", "layers": [{"part", "relative_error"}], "positions", "kl": {"mean", "median",
/// "p99", "max"}, "top1_agreement"}; what is not finite is null.
Json verification_json(const Verification& verification);
/// The same as a table.
std::string verification_table(const Verification& verification);

}  // namespace gemma4
