// The flags that several subcommands share, and what they mean for the library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/runtime/engine.h"

namespace CLI {
class App;
}

namespace gemma4 {

/// Which model, on what, with how much.
struct ModelFlags {
  std::string model;  // empty: $GEMMA4_MODEL
  std::string device = "auto";
  int64_t tensor_parallel = 1;
  int threads = 0;
  int64_t context = 0;  // 0: the model's own limit
  std::string weights = "stored";
  std::string lm_head = "stored";
  std::string kv_cache_dtype = "bf16";
  bool cache_weights = false;
  bool exact_activations = false;
  std::string draft = "off";
  std::string draft_tokens;                // empty: not given
  std::vector<std::string> model_options;  // KEY=VALUE
  bool plan = false;

  void add_to(CLI::App& app);
  /// What the user calls the model.
  std::string name() const;
  /// Throws Error(kUsage) for flags that cannot take effect, and as locate_model does for a draft
  /// model that is named.
  EngineOptions engine_options() const;

 private:
  DraftOptions draft_options() const;
};

/// How the answer's tokens are chosen, and when it ends.
struct SamplingFlags {
  std::optional<float> temperature;
  std::optional<int32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::optional<uint64_t> seed;
  int64_t max_tokens = -1;  // -1: until the context is full
  std::vector<std::string> stop;

  void add_to(CLI::App& app);
  /// The flags over the checkpoint's own defaults.
  SamplingParams params(const GenerationDefaults& defaults) const;
};

/// A seed that a JSON number holds exactly in every reader.
uint64_t random_seed();

struct ThinkingFlags {
  bool think = false;
  std::string display;  // "", "hide", "show", "stderr"

  void add_to(CLI::App& app);
};

/// Where output goes and what accompanies it.
struct OutputFlags {
  std::string output;  // empty: standard output
  bool quiet = false;
  bool verbose = false;
  bool stats = false;
  std::string color = "auto";

  void add_to(CLI::App& app);
  /// Sets the log level. Throws Error(kUsage) for --quiet with --verbose.
  void apply() const;
};

/// The paragraph on exit codes that ends every help page.
extern const char* const kExitCodesHelp;

}  // namespace gemma4
