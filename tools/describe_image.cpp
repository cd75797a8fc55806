// gemma4 describe-image: what a model sees in pictures, one by one or together.

#include <fmt/format.h>
#include <sys/ioctl.h>

#include <cstdio>
#include <utility>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tools/answer_json.h"
#include "tools/answer_printer.h"
#include "tools/command_line.h"
#include "tools/image_preview.h"
#include "tools/media_flags.h"
#include "tools/model_loading.h"
#include "tools/progress.h"
#include "tools/prompt.h"
#include "tools/stats.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"
#include "tools/terminal.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(Answers come in the order of the files. A file that cannot be read is told on stderr (or as a
JSON line), the others go on, and the exit code is 4.

Examples:
  gemma4 describe-image photo.jpg
  gemma4 describe-image --show -p "Which bird is this?" bird.webp
  gemma4 describe-image --task ocr scan.png > scan.txt
  find . -name '*.jpg' | gemma4 describe-image --files-from - --task tags --jsonl > tags.jsonl
  gemma4 describe-image --together before.png after.png -p "What has changed?"

)";

constexpr size_t kTogether = 16;  // pictures that are decoded together
constexpr int kFineBudget = 1120;

struct Task {
  const char* name;
  const char* prompt;
  bool fine;  // small print: the largest budget
};

constexpr Task kTasks[] = {
    {"describe", "Describe this image in detail.", false},
    {"ocr", "Transcribe all text in this image exactly, keeping its layout.", true},
    {"table", "Extract the tables in this image as Markdown.", true},
    {"alt-text", "Write one sentence of alt text for this image.", false},
    {"tags", "List ten short tags for this image, separated by commas.", false}};

enum class Format { kText, kJson, kJsonLines, kMarkdown };

/// A picture, or all of them: what was asked of it, and what came.
struct Item {
  std::vector<std::string> files;
  std::string error;  // empty: none
  int error_code = 0;
  GenerationRequest request;
  std::optional<GenerationResult> result;
};

class DescribeImageCommand : public Subcommand {
 public:
  explicit DescribeImageCommand(CLI::App& app) { add_to(app); }
  int run() override;

 private:
  void add_to(CLI::App& app);
  void check();
  void read_file_names();
  MediaOptions media_options() const;
  Prompt prompt_of(const Item& item, MediaLoader& loader);
  void prepare(Item& item);
  void show(const Prompt& prompt) const;
  int print_memory_plan();
  void load(std::span<Item> items);
  void describe(std::span<Item> items);
  GenerationCallbacks callbacks(const std::vector<Item*>& item_of, AnswerPrinter* printer,
                                Progress& progress, const StopSignals& signals);
  void write_ready();
  void write(const Item& item);
  Json item_json(const Item& item) const;
  int finish();

  ModelFlags model_flags_;
  SamplingFlags sampling_;
  OutputFlags output_flags_;
  MediaFlags media_;
  std::vector<std::string> files_;
  std::string files_from_;
  std::optional<std::string> prompt_;
  std::string task_name_;
  std::string format_name_;
  bool json_ = false;
  bool jsonl_ = false;
  bool together_ = false;
  bool show_ = false;

  Task task_ = kTasks[0];
  Format format_ = Format::kText;
  StandardInput standard_input_;
  PromptTools model_;
  EngineOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Output> output_;
  AnswerContext context_;
  std::vector<Item> items_;
  size_t written_ = 0;
  bool wrote_text_ = false;
  std::optional<FinishReason> stopped_;
};

void DescribeImageCommand::add_to(CLI::App& app) {
  add_words(app, "FILE", files_, "pictures: PNG, JPEG, WebP, GIF, BMP, TIFF; - is standard input");
  const char* group = "Images";
  add_value(app, "-p,--prompt", prompt_, "TEXT", "ask this instead of a task's question")
      ->group(group);
  add_value(app, "--task", task_name_, "describe|ocr|table|alt-text|tags",
            "what to do; default: describe. ocr and table see\nas finely as the model can (1120)")
      ->check(CLI::IsMember({"describe", "ocr", "table", "alt-text", "tags"}))
      ->group(group);
  add_switch(app, "--together", together_, "all pictures in one prompt, for comparisons")
      ->group(group);
  add_switch(app, "--show", show_,
             "draw on the terminal what the model will see, with\nits size and tokens")
      ->group(group);
  add_value(app, "--files-from", files_from_, "FILE",
            "names of more pictures, one a line (or with NUL\nbetween); - is standard input")
      ->group(group);
  media_.add_image_flags(app);
  output_flags_.add_to(app);
  add_value(app, "--format", format_name_, "text|json|jsonl|markdown",
            "json: an object, or an array for several pictures;\njsonl: an object a line, as each "
            "is done")
      ->check(CLI::IsMember({"text", "json", "jsonl", "markdown"}))
      ->group("Output");
  add_switch(app, "--json", json_, "the same as --format json")->group("Output");
  add_switch(app, "--jsonl", jsonl_, "the same as --format jsonl")->group("Output");
  sampling_.add_to(app);
  model_flags_.add_to(app);
  app.footer(std::string(kExamples) + kExitCodesHelp);
}

void DescribeImageCommand::check() {
  output_flags_.apply();
  media_.check(true);
  if (show_ && !is_terminal(2)) {
    throw Error(ErrorKind::kUsage, "--show needs a terminal", "standard error",
                "leave it away in pipelines");
  }
  if (static_cast<int>(json_) + static_cast<int>(jsonl_) + static_cast<int>(!format_name_.empty()) >
      1) {
    throw Error(ErrorKind::kUsage, "--json, --jsonl and --format exclude each other", {},
                "give one of them");
  }
  if (prompt_ && !task_name_.empty()) {
    throw Error(ErrorKind::kUsage, "--prompt and --task exclude each other", {},
                "give one of them");
  }
  if (json_ || format_name_ == "json") format_ = Format::kJson;
  if (jsonl_ || format_name_ == "jsonl") format_ = Format::kJsonLines;
  if (format_name_ == "markdown") format_ = Format::kMarkdown;
  for (const Task& task : kTasks) {
    if (task_name_ == task.name) task_ = task;
  }
  read_file_names();
  if (files_.empty() && !model_flags_.plan) {
    throw Error(ErrorKind::kUsage, "no picture", {}, "name one, or see --files-from");
  }
}

void DescribeImageCommand::read_file_names() {
  if (std::count(files_.begin(), files_.end(), "-") > 0) standard_input_.give_away();
  if (files_from_.empty()) return;
  const std::string text = read_input(files_from_, standard_input_);
  const char separator = text.find('\0') != text.npos ? '\0' : '\n';
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    std::string name = text.substr(start, end - start);
    start = end + 1;
    if (name.ends_with('\r')) name.pop_back();
    if (!name.empty()) files_.push_back(std::move(name));
  }
}

MediaOptions DescribeImageCommand::media_options() const {
  MediaOptions options = media_.options();
  if (options.image_budget == 0 && task_.fine) options.image_budget = kFineBudget;
  return options;
}

Prompt DescribeImageCommand::prompt_of(const Item& item, MediaLoader& loader) {
  std::vector<MediaReference> files;
  for (const std::string& name : item.files) {
    MediaReference file;
    file.kind = MediaKind::kImage;
    file.value = name;
    file.place = name;
    files.push_back(std::move(file));
  }
  const std::string words =
      prompt_ ? valid_text(*prompt_, "the command line") : std::string(task_.prompt);
  PromptMedia media{loader};
  return chat_prompt(model_, one_turn("", content_with_media("", words, files)), Json::array(),
                     false, &media);
}

// Sets the request, or the error.
void DescribeImageCommand::prepare(Item& item) {
  try {
    MediaLoader loader(model_.media, media_options());
    const Prompt prompt = prompt_of(item, loader);
    check_fits(prompt, options_.context, model_.config);
    if (show_) show(prompt);
    item.request = request_for(prompt, model_);
    item.request.sampling = sampling_.params(model_.config.generation);
    item.request.seed = sampling_.seed ? *sampling_.seed : random_seed();
    item.request.max_tokens = sampling_.max_tokens;
    item.request.stop = sampling_.stop;
  } catch (const Error& error) {
    const bool alone = items_.size() == 1 && format_ != Format::kJsonLines;
    if (error.kind() != ErrorKind::kInput || alone) throw;
    item.error = error.what();
    item.error_code = error.exit_code();
    const bool on_stderr = format_ == Format::kText || format_ == Format::kMarkdown;
    if (on_stderr) std::fprintf(stderr, "gemma4: %s\n", error.what());
  }
}

// On stderr, which is not the answer.
void DescribeImageCommand::show(const Prompt& prompt) const {
  winsize size = {};
  const bool known = ::ioctl(2, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  const int columns = std::min(known ? static_cast<int>(size.ws_col) : 80, 120);
  for (size_t i = 0; i < prompt.media.size(); ++i) {
    const MediaInput& input = *prompt.media[i].input;
    const ImagePatches& patches = input.patches;
    const std::string name = printable(prompt.media_list[i]["file"].get<std::string>(), 120);
    std::fputs(image_preview(input, preview_protocol(), columns).c_str(), stderr);
    std::fputs(fmt::format("{}: seen as {}x{} pixels, {} tokens\n", name,
                           patches.columns * patches.patch_size, patches.rows * patches.patch_size,
                           input.soft_tokens)
                   .c_str(),
               stderr);
  }
}

// Later pictures may take as much as their budget allows.
void DescribeImageCommand::load(std::span<Item> items) {
  const int asked = media_options().image_budget;
  options_.media = {};
  int64_t positions = 1;
  for (const Item& item : items) {
    if (!item.error.empty()) continue;
    const MediaNeeds needs = media_needs(item.request.media);
    options_.media.image_tokens =
        std::max<int64_t>(needs.image_tokens, asked > 0 ? asked : model_.media.image_budget);
    const auto length = static_cast<int64_t>(item.request.prompt.size());
    positions =
        std::max(positions, planned_positions(length - needs.total_tokens, sampling_.max_tokens) +
                                std::max(needs.total_tokens, options_.media.image_tokens));
    options_.media.total_tokens += std::max(needs.total_tokens, options_.media.image_tokens);
  }
  engine_ = load_engine(options_, positions, !output_flags_.quiet);
  context_.load_ms = engine_->load_ms();
}

Json DescribeImageCommand::item_json(const Item& item) const {
  Json object = together_ ? Json{{"files", item.files}} : Json{{"file", item.files[0]}};
  if (!item.error.empty()) {
    object["error"] = {{"code", item.error_code}, {"message", item.error}};
    return object;
  }
  if (!prompt_) object["task"] = task_.name;
  object.update(answer_json(context_, item.request, *item.result));
  return object;
}

void DescribeImageCommand::write(const Item& item) {
  if (format_ == Format::kJsonLines) {
    output_->write(json_line(item_json(item)));
    return;
  }
  if (format_ == Format::kJson || !item.error.empty()) return;
  std::string text = item.result->output.content;
  while (text.ends_with('\n')) text.pop_back();
  const char* gap = std::exchange(wrote_text_, true) ? "\n" : "";
  if (format_ == Format::kMarkdown) {
    output_->write(fmt::format("{}## {}\n\n{}\n", gap, fmt::join(item.files, ", "), text));
  } else if (items_.size() > 1) {
    output_->write(fmt::format("{}{}:\n{}\n", gap, item.files[0], text));
  }
}

void DescribeImageCommand::write_ready() {
  for (; written_ < items_.size(); ++written_) {
    const Item& item = items_[written_];
    if (item.error.empty() && !item.result) return;
    write(item);
  }
}

GenerationCallbacks DescribeImageCommand::callbacks(const std::vector<Item*>& item_of,
                                                    AnswerPrinter* printer, Progress& progress,
                                                    const StopSignals& signals) {
  GenerationCallbacks callbacks;
  callbacks.on_event = [printer, &progress](size_t, const OutputEvent& event) {
    progress.clear();
    if (printer != nullptr) printer->event(event);
  };
  callbacks.on_prefill = [&progress](int64_t done, int64_t total) { progress.update(done, total); };
  callbacks.on_result = [this, &item_of, &progress](size_t index, const GenerationResult& result) {
    item_of[index]->result = result;
    progress.clear();
    write_ready();
  };
  callbacks.should_stop = [this, &signals]() -> std::optional<FinishReason> {
    if (output_->closed()) return FinishReason::kInterrupted;
    return signals.requested();
  };
  return callbacks;
}

void DescribeImageCommand::describe(std::span<Item> items) {
  std::vector<GenerationRequest> requests;
  std::vector<Item*> item_of;  // by request
  for (Item& item : items) {
    prepare(item);
    if (!item.error.empty()) continue;
    requests.push_back(item.request);
    item_of.push_back(&item);
  }
  if (!requests.empty()) {
    if (!engine_) load(items);
    // An answer's JSON wants the request's settings, not its pixels.
    for (Item* item : item_of) item->request.media.clear();
    std::optional<AnswerPrinter> printer;
    if (format_ == Format::kText && items_.size() == 1) {
      printer.emplace(*output_, ThinkingFlags{}, output_flags_.color);
    }
    Progress progress("looking", !output_flags_.quiet);
    const StopSignals signals;
    engine_->generate(requests,
                      callbacks(item_of, printer ? &*printer : nullptr, progress, signals));
    progress.clear();
    if (output_->closed()) throw ClosedPipe();
    if (printer) printer->finish();
    stopped_ = signals.requested();
  }
  write_ready();
}

int DescribeImageCommand::print_memory_plan() {
  const int asked = media_options().image_budget;
  options_.media.image_tokens = asked > 0 ? asked : model_.media.image_budget;
  const auto pictures = static_cast<int64_t>(std::max<size_t>(1, together_ ? files_.size() : 1));
  options_.media.total_tokens =
      options_.media.image_tokens * std::max(pictures, options_.max_sequences);
  const int64_t prompt = pictures * options_.media.image_tokens + 64;
  print_plan(plan_memory(options_, planned_positions(prompt, sampling_.max_tokens)), json_,
             *output_);
  output_->commit();
  return 0;
}

int DescribeImageCommand::finish() {
  if (format_ == Format::kJson) {
    if (items_.size() == 1) {
      output_->write(json_line(item_json(items_[0])));
    } else {
      Json list = Json::array();
      for (const Item& item : items_) {
        if (!item.error.empty() || item.result) list.push_back(item_json(item));
      }
      output_->write(json_line(list));
    }
  }
  output_->commit();
  size_t failed = 0;
  std::vector<GenerationResult> results;
  for (const Item& item : items_) {
    failed += item.error.empty() ? 0 : 1;
    if (item.result) results.push_back(*item.result);
  }
  if (output_flags_.stats) {
    std::fputs(stats_text(context_.load_ms, results).c_str(), stderr);
  }
  if (stopped_) return exit_code_of(*stopped_);
  if (failed == 0) return 0;
  throw Error(ErrorKind::kInput,
              fmt::format("{} of {} pictures could not be read", failed, items_.size()));
}

int DescribeImageCommand::run() {
  check();
  options_ = model_flags_.engine_options();
  options_.directory = find_model(model_flags_, true);
  model_ = load_prompt_tools(options_.directory);
  options_.tokenizer = model_.tokenizer.get();
  output_ = std::make_unique<Output>(output_flags_.output);
  context_ = {model_flags_.name(), 0.0, model_.tokenizer.get()};
  require_modality(MediaKind::kImage, model_.media);
  for (const std::string& file : files_) {
    if (!together_ || items_.empty()) items_.emplace_back();
    items_.back().files.push_back(file);
  }
  options_.max_sequences = static_cast<int64_t>(std::clamp<size_t>(items_.size(), 1, kTogether));
  if (model_flags_.plan) return print_memory_plan();
  output_->open();
  for (size_t first = 0; first < items_.size() && !stopped_; first += kTogether) {
    describe(std::span(items_).subspan(first, std::min(kTogether, items_.size() - first)));
  }
  return finish();
}

}  // namespace

std::unique_ptr<Subcommand> make_describe_image(CLI::App& app) {
  return std::make_unique<DescribeImageCommand>(app);
}

}  // namespace gemma4
