// gemma4 transcribe: recordings, videos and live sound to text.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tools/command_line.h"
#include "tools/model_loading.h"
#include "tools/progress.h"
#include "tools/stats.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"
#include "tools/terminal.h"
#include "tools/transcribe_flags.h"
#include "tools/transcript_writer.h"

namespace gemma4 {
namespace {

// Windows of a recording that are decoded together, where the memory allows it: on a processor the
// weights are then read once for all of them.
constexpr int64_t kMaxWindowsAtOnce = 4;

class TranscribeCommand : public Subcommand {
 public:
  explicit TranscribeCommand(CLI::App& app) { flags_.add_to(app); }
  int run() override;

 private:
  TranscriberNeeds plan();
  void load();
  void transcribe_all(const std::vector<std::string>& files);
  void transcribe(const std::string& file, TranscriptWriter& writer);
  TranscriptCallbacks callbacks(TranscriptWriter& writer, Progress& progress);
  std::optional<FinishReason> stop_reason() const;
  void print_stats() const;

  TranscribeFlags flags_;
  StandardInput standard_input_;
  PromptTools model_;
  EngineOptions options_;
  TranscriberOptions transcriber_options_;
  int64_t positions_ = 0;
  std::unique_ptr<Transcriber> transcriber_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Output> output_;  // of the file under way
  TranscriptContext context_;
  std::optional<StopSignals> signals_;
  size_t files_ = 0;
  size_t failed_ = 0;
  bool stopped_ = false;
  std::vector<GenerationResult> results_;
  double sound_seconds_ = 0.0;
  double elapsed_ms_ = 0.0;
};

std::optional<FinishReason> TranscribeCommand::stop_reason() const {
  if (output_->closed()) return FinishReason::kInterrupted;
  return signals_ ? signals_->requested() : std::nullopt;
}

// As many windows at once as the memory holds.
TranscriberNeeds TranscribeCommand::plan() {
  transcriber_options_ = flags_.transcriber_options(model_.config.generation);
  for (int64_t windows = flags_.pcm.empty() ? kMaxWindowsAtOnce : 1;; windows /= 2) {
    transcriber_options_.windows_at_once = windows;
    transcriber_ = std::make_unique<Transcriber>(model_, transcriber_options_);
    const TranscriberNeeds needs = transcriber_->needs();
    options_.max_sequences = windows;
    options_.media = needs.media;
    const MemoryPlan memory = plan_memory(options_, needs.positions);
    if (windows == 1 || memory.total() <= memory.available) return needs;
  }
}

void TranscribeCommand::load() {
  if (engine_) return;
  engine_ = load_engine(options_, positions_, !flags_.output.quiet);
  context_.load_ms = engine_->load_ms();
}

TranscriptCallbacks TranscribeCommand::callbacks(TranscriptWriter& writer, Progress& progress) {
  TranscriptCallbacks callbacks;
  callbacks.on_text = [&](std::string_view text) {
    progress.clear();
    writer.text(text);
  };
  callbacks.on_segment = [&](const TranscriptSegment& segment) {
    progress.clear();
    writer.segment(segment);
  };
  // Drawing would wipe out a line that is being written on the same terminal.
  const bool shares_terminal = output_->descriptor() == 1 && is_terminal(1);
  callbacks.on_progress = [&, shares_terminal](double done, double total) {
    if (shares_terminal && writer.is_inside_line()) return;
    progress.update(static_cast<int64_t>(1000.0 * done), static_cast<int64_t>(1000.0 * total));
  };
  callbacks.should_stop = [this] { return stop_reason(); };
  return callbacks;
}

// Throws Error(kInput) for what is wrong with this file alone.
void TranscribeCommand::transcribe(const std::string& file, TranscriptWriter& writer) {
  const bool is_live = !flags_.pcm.empty();
  if (is_live) load();  // sound waits in its pipe meanwhile
  if (is_live) signals_.emplace();
  Recording recording(file, flags_.recording_options(),
                      [this] { return stop_reason().has_value(); });
  load();
  if (!signals_) signals_.emplace();
  Progress progress(files_ == 1 ? "transcribing" : "transcribing " + printable(file, 60),
                    !flags_.output.quiet);
  output_->open();
  writer.begin(file);
  Transcript transcript = transcriber_->run(*engine_, recording, callbacks(writer, progress));
  progress.clear();
  if (output_->closed()) throw ClosedPipe();
  writer.end(transcript);
  if (transcript.finish_reason == FinishReason::kLength && flags_.sampling.max_tokens < 0) {
    log_warning(printable(file) + ": a segment was cut off, its text may go round in circles");
  }
  stopped_ = exit_code_of(transcript.finish_reason) != 0;
  sound_seconds_ += transcript.seconds;
  elapsed_ms_ += transcript.elapsed_ms;
  for (GenerationResult& result : transcript.windows) results_.push_back(std::move(result));
}

void TranscribeCommand::transcribe_all(const std::vector<std::string>& files) {
  const TranscriptFormat format = flags_.transcript_format();
  std::unique_ptr<TranscriptWriter> writer;
  for (const std::string& file : files) {
    if (!writer || !flags_.out_dir.empty()) {
      const std::string path =
          flags_.out_dir.empty() ? flags_.output.output : flags_.output_path(file);
      output_ = std::make_unique<Output>(path);
      const bool to_terminal = output_->descriptor() == 1 && is_terminal(1);
      writer = make_transcript_writer(format, *output_, context_, to_terminal);
    }
    try {
      transcribe(file, *writer);
      if (!flags_.out_dir.empty()) output_->commit();
    } catch (const Error& error) {
      if (files.size() == 1 && flags_.output.output.empty() && writer->is_inside_line()) {
        output_->write("\n");
      }
      if (files.size() == 1 || error.kind() != ErrorKind::kInput) throw;
      ++failed_;
      std::fprintf(stderr, "gemma4: %s\n", error.what());
      if (flags_.out_dir.empty()) writer->fail(file, error);
    }
    stopped_ = stopped_ || (signals_ && signals_->requested());
    if (stopped_) break;
    signals_.reset();  // opening the next file is interrupted as any program is
  }
  if (flags_.out_dir.empty()) output_->commit();
}

void TranscribeCommand::print_stats() const {
  std::string text = stats_text(context_.load_ms, results_);
  if (elapsed_ms_ > 0.0) {
    text += fmt::format("sound:  {:.1f} s in {:.1f} s, {:.2f} times real time\n", sound_seconds_,
                        elapsed_ms_ / 1000.0, 1000.0 * sound_seconds_ / elapsed_ms_);
  }
  std::fputs(text.c_str(), stderr);
}

int TranscribeCommand::run() {
  flags_.check();
  flags_.output.apply();
  options_ = flags_.model.engine_options();
  options_.directory = find_model(flags_.model, true);
  model_ = load_prompt_tools(options_.directory);
  options_.tokenizer = model_.tokenizer.get();
  options_.keeps_media = false;  // no window comes twice
  context_.model = flags_.model.name();
  if (flags_.language != "auto") context_.language = flags_.language;

  const TranscriberNeeds needs = plan();
  positions_ = needs.positions;
  context_.seed = transcriber_options_.seed;
  const int64_t limit = model_.config.text.max_position_embeddings;
  const int64_t context = options_.context > 0 ? std::min(options_.context, limit) : limit;
  if (needs.prompt_tokens >= context) {
    throw Error(ErrorKind::kInput, "a segment does not fit the context",
                fmt::format("{} tokens, context {}", needs.prompt_tokens, context),
                "use a shorter --segment or a larger --context");
  }
  if (flags_.model.plan) {
    Output output(flags_.output.output);
    print_plan(plan_memory(options_, positions_),
               flags_.transcript_format() == TranscriptFormat::kJson, output);
    output.commit();
    return 0;
  }
  const std::vector<std::string> files = flags_.all_files(standard_input_);
  if (std::count(files.begin(), files.end(), "-") > 0 && is_terminal(0)) {
    throw Error(ErrorKind::kUsage, "standard input is a terminal", "-", "pipe a recording in");
  }
  files_ = files.size();
  if (!flags_.out_dir.empty()) {
    std::error_code error;
    std::filesystem::create_directories(flags_.out_dir, error);
    if (error) {
      throw Error(ErrorKind::kResource, "cannot make the directory", flags_.out_dir,
                  error.message());
    }
  }
  transcribe_all(files);
  if (flags_.output.stats) print_stats();
  if (stopped_) return exit_code_of(*signals_->requested());
  return failed_ > 0 ? static_cast<int>(ErrorKind::kInput) : 0;
}

}  // namespace

std::unique_ptr<Subcommand> make_transcribe(CLI::App& app) {
  return std::make_unique<TranscribeCommand>(app);
}

}  // namespace gemma4
