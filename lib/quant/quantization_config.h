// What config.json says about quantisation: which modules, how many bits, which activations.
//
// Reads `quantization_config` (or its old name `compression_config`) of compressed-tensors and of
// quant_method "gemma" (the mobile checkpoints). Spec checkpoints-quant.md, 3.1, 3.2 and 4.2.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/io/json.h"
#include "lib/quant/module_pattern.h"
#include "lib/quant/quantized_matrix.h"

namespace gemma4 {

enum class QuantMethod : uint8_t { kNone, kCompressedTensors, kGemma };

/// How the matrix of one module is quantised.
struct ModuleScheme {
  int bits = 8;
  bool symmetric = true;
  int64_t group_size = 0;  // 0: one scale a row
  ActivationScheme activation = ActivationScheme::kNone;
  bool quantizes_output = false;  // of kStaticInt8: the output too
};

class QuantizationConfig {
 public:
  /// `config` is the whole config.json; without a quantization_config nothing is quantised.
  /// Throws Error(kModel) that names whatever is not supported: a method, a format, a strategy, a
  /// key. A module that only an unsupported group covers is refused too, never read as plain.
  static QuantizationConfig parse(const Json& config);

  QuantMethod method() const { return method_; }
  /// The scheme of a module by its full name ("model.language_model.layers.0.mlp.up_proj");
  /// nullopt: it is not quantised.
  std::optional<ModuleScheme> scheme_for(std::string_view module) const;

 private:
  struct Group {
    std::vector<ModulePattern> targets;
    ModuleScheme scheme;
  };
  struct GemmaRule {
    BoundedRegex pattern;
    int bits;
  };

  void parse_compressed_tensors(const Json& object);
  void parse_gemma(const Json& object);

  QuantMethod method_ = QuantMethod::kNone;
  std::vector<ModulePattern> ignore_;
  std::vector<Group> groups_;
  int gemma_bits_ = 4;
  std::vector<GemmaRule> gemma_rules_;
};

}  // namespace gemma4
