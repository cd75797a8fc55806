// Every flag of `gemma4 transcribe`, and which of them go together.
#pragma once

#include <string>
#include <vector>

#include "lib/runtime/transcriber.h"
#include "tools/flags.h"
#include "tools/text_input.h"
#include "tools/transcript_writer.h"

namespace gemma4 {

struct TranscribeFlags {
  ModelFlags model;
  SamplingFlags sampling;
  OutputFlags output;

  std::vector<std::string> files;  // positional
  std::string files_from;
  std::string pcm;
  double offset = 0.0;    // seconds, as all that follow
  double duration = 0.0;  // 0: to the end
  double segment = 30.0;
  double overlap = 1.0;
  double max_duration = kDefaultMaxAudioSeconds;
  std::string language = "auto";
  std::string translate;
  std::string prompt;
  std::string format;  // empty: text, or what json and jsonl say
  bool json = false;
  bool jsonl = false;
  std::string out_dir;

  void add_to(CLI::App& app);
  /// Throws Error(kUsage) for flags of which one could not take effect.
  void check() const;

  /// The positional files, and those of --files-from. Throws Error(kUsage) when there are none, or
  /// when they cannot all be written as asked for.
  std::vector<std::string> all_files(StandardInput& standard_input) const;
  TranscriptFormat transcript_format() const;
  /// The text of the prompt.
  std::string instruction() const;
  RecordingOptions recording_options() const;
  TranscriberOptions transcriber_options(const GenerationDefaults& defaults) const;
  /// Where the transcript of a file goes with --out-dir.
  std::string output_path(const std::string& file) const;
};

}  // namespace gemma4
