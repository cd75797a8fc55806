// Every flag of `gemma4 run`, and which of them go together.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/flags.h"
#include "tools/media_flags.h"
#include "tools/output_format.h"

namespace gemma4 {

struct RunFlags {
  ModelFlags model;
  SamplingFlags sampling;
  ThinkingFlags thinking;
  OutputFlags output;
  OutputFormatFlags format;
  MediaFlags media;

  std::vector<std::string> words;  // positional prompt
  std::optional<std::string> prompt;
  std::vector<std::string> files;
  std::string system;  // TEXT or @FILE
  std::string messages;
  std::string tokens;
  std::string batch;
  std::string tools;
  std::string tool_choice;
  std::string chat_template;
  bool raw = false;
  bool ignore_eos = false;
  bool json = false;
  bool jsonl = false;
  bool print_prompt = false;
  bool extract = false;
  bool show_denoising = false;
  std::optional<int> logprobs;
  std::optional<int> prompt_logprobs;

  void add_to(CLI::App& app);
  /// Throws Error(kUsage) for flags of which one could not take effect.
  void check() const;

  /// The prompt is text, not messages, ids or a batch.
  bool prompt_is_text() const { return messages.empty() && tokens.empty() && batch.empty(); }
};

}  // namespace gemma4
