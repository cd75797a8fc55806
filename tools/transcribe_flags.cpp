#include "tools/transcribe_flags.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>

#include "lib/base/error.h"
#include "tools/command_line.h"
#include "tools/language_names.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(Any sound or video file that FFmpeg reads; "-" is standard input. The model hears 30 s at a time:
longer recordings are cut in pauses into segments that overlap a little, and the texts are joined
without doubled or lost words. Times are those of the segments, not of single words. Live sound is
transcribed as it arrives: a segment ends in the first pause.

Examples:
  gemma4 transcribe -m e4b interview.mp3 > interview.txt
  gemma4 transcribe --format srt --segment 10 -o talk.srt talk.mp4
  gemma4 transcribe --offset 1:02:00 --duration 5m --json meeting.flac | jq -r .text
  find . -name '*.opus' | gemma4 transcribe --files-from - --out-dir texts --format vtt
  arecord -q -f S16_LE -r 16000 | gemma4 transcribe --pcm s16le:16000 --language de
  gemma4 transcribe --translate English --prompt "Names: Aoife, Siobhan." anruf.ogg

)";

void refuse_together(const char* first, const char* second) {
  throw Error(ErrorKind::kUsage, std::string(first) + " and " + second + " exclude each other", {},
              "see gemma4 transcribe --help");
}

int64_t samples_of(double seconds) {
  return static_cast<int64_t>(std::llround(seconds * kAudioSampleRate));
}

}  // namespace

void TranscribeFlags::add_to(CLI::App& app) {
  add_words(app, "FILE", files, "recordings, or videos with sound; - is standard input");
  const char* group = "Recordings";
  add_value(app, "--files-from", files_from, "FILE|-", "a list of more files, one a line")
      ->group(group);
  add_value(app, "--offset", offset, "TIME", "leave out the beginning: 90s, 1.5m, 1:02:03")
      ->transform(seconds_between(0, 1e7))
      ->group(group);
  add_value(app, "--duration", duration, "TIME", "transcribe this much from there")
      ->transform(seconds_between(0.1, 1e7))
      ->group(group);
  add_value(app, "--segment", segment, "TIME",
            "longest piece heard at once, 2 s to 30 s; default 30s")
      ->transform(seconds_between(2, 30))
      ->group(group);
  add_value(app, "--overlap", overlap, "TIME",
            "what neighbouring segments share, at most a third\nof a segment; default 1s")
      ->transform(seconds_between(0, 10))
      ->group(group);
  add_value(app, "--max-duration", max_duration, "TIME", "refuse longer recordings; default 12h")
      ->transform(seconds_between(1, 1e7))
      ->group(group);
  add_value(app, "--pcm", pcm, "s16le:RATE|f32le:RATE",
            "raw mono sound, transcribed as it arrives; without\nFILE from standard input")
      ->group(group);
  group = "Transcript";
  add_value(app, "--language", language, "auto|TAG", "what is spoken: de, pt-BR, German ...")
      ->group(group);
  add_value(app, "--translate", translate, "LANG", "write a translation instead")->group(group);
  add_value(app, "--prompt", prompt, "TEXT",
            "added to what the model is asked: names and words\nthat come up")
      ->group(group);
  add_value(app, "--format", format, "text|srt|vtt|json|jsonl",
            "text: a line a segment; jsonl: an object a segment;\njson: one object a file")
      ->check(CLI::IsMember({"text", "srt", "vtt", "json", "jsonl"}))
      ->group(group);
  add_switch(app, "--json", json, "the same as --format json")->group(group);
  add_switch(app, "--jsonl", jsonl, "the same as --format jsonl")->group(group);
  add_value(app, "--out-dir", out_dir, "DIR",
            "write DIR/NAME.srt and so on for each file; each\nappears when whole")
      ->group(group);
  output.add_to(app);
  sampling.add_to(app);
  app.get_option("--max-tokens")
      ->description("most tokens of a segment; default: 64, and 16 for\neach second");
  app.get_option("--temperature")->description("0 (the default): always the likeliest token");
  model.add_to(app);
  app.footer(std::string(kExamples) + kExitCodesHelp);
}

TranscriptFormat TranscribeFlags::transcript_format() const {
  return gemma4::transcript_format(json ? "json" : jsonl ? "jsonl" : format);
}

void TranscribeFlags::check() const {
  if (json && jsonl) refuse_together("--json", "--jsonl");
  if (json && !format.empty() && format != "json") refuse_together("--json", "another --format");
  if (jsonl && !format.empty() && format != "jsonl") refuse_together("--jsonl", "another --format");
  if (!out_dir.empty() && !output.output.empty()) refuse_together("--out-dir", "--output");
  if (!pcm.empty()) parse_pcm_format(pcm);
  if (!files_from.empty() && !pcm.empty()) refuse_together("--files-from", "--pcm");
  instruction();  // throws for what is no language
}

std::vector<std::string> TranscribeFlags::all_files(StandardInput& standard_input) const {
  std::vector<std::string> all = files;
  if (!files_from.empty()) {
    std::string list = read_input(files_from, standard_input);
    for (size_t start = 0; start < list.size();) {
      const size_t end = std::min(list.find('\n', start), list.size());
      const std::string line = without_final_newline(list.substr(start, end - start));
      if (!line.empty()) all.push_back(line);
      start = end + 1;
    }
  }
  if (all.empty() && !pcm.empty()) all.push_back("-");
  if (all.empty()) {
    throw Error(ErrorKind::kUsage, "no recordings", {},
                "name files (gemma4 transcribe talk.mp3), or - for standard input");
  }
  const auto stdin_uses = std::count(all.begin(), all.end(), "-") + (files_from == "-" ? 1 : 0);
  if (stdin_uses > 1) {
    throw Error(ErrorKind::kUsage, "standard input is named twice", "-", "name it once");
  }
  const TranscriptFormat kind = transcript_format();
  if (all.size() > 1 && out_dir.empty() &&
      (kind == TranscriptFormat::kSrt || kind == TranscriptFormat::kVtt)) {
    throw Error(ErrorKind::kUsage, "subtitles of several files do not go into one",
                "--format " + format, "add --out-dir DIR");
  }
  if (!out_dir.empty()) {
    std::map<std::string, std::string> writers;
    for (const std::string& file : all) {
      const auto [other, is_new] = writers.emplace(output_path(file), file);
      if (is_new) continue;
      throw Error(ErrorKind::kUsage, "two recordings would be written to " + other->first,
                  other->second + " and " + file, "transcribe them one after the other");
    }
  }
  return all;
}

std::string TranscribeFlags::instruction() const {
  std::string text =
      translate.empty()
          ? "Provide a verbatim, word-for-word transcription of the audio."
          : fmt::format(
                "Transcribe the audio, then translate it into {}. Give only the translation.",
                language_name(translate, "--translate"));
  if (language != "auto") {
    text += fmt::format(" The language is {}.", language_name(language, "--language"));
  }
  if (!prompt.empty()) text += " " + valid_text(prompt, "the command line");
  return text;
}

RecordingOptions TranscribeFlags::recording_options() const {
  RecordingOptions options;
  options.offset = offset;
  if (duration > 0.0) options.duration = duration;
  options.max_seconds = max_duration;
  if (!pcm.empty()) options.pcm = parse_pcm_format(pcm);
  return options;
}

TranscriberOptions TranscribeFlags::transcriber_options(const GenerationDefaults& defaults) const {
  TranscriberOptions options;
  options.instruction = instruction();
  options.sampling = sampling.params(defaults);
  options.sampling.temperature = sampling.temperature.value_or(0.0f);
  options.seed = sampling.seed ? *sampling.seed : random_seed();
  options.max_tokens = sampling.max_tokens;
  options.stop = sampling.stop;
  options.windows.max_samples = samples_of(segment);
  options.windows.overlap_samples = samples_of(overlap);
  return options;
}

std::string TranscribeFlags::output_path(const std::string& file) const {
  std::string name = file == "-" ? "stdin" : std::filesystem::path(file).stem().string();
  if (name.empty()) name = "unnamed";
  return (std::filesystem::path(out_dir) / (name + transcript_extension(transcript_format())))
      .string();
}

}  // namespace gemma4
