#include "tools/batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tools/answer_json.h"
#include "tools/block_decoding.h"
#include "tools/model_loading.h"
#include "tools/progress.h"
#include "tools/prompt.h"
#include "tools/stats.h"
#include "tools/stop_signals.h"

namespace gemma4 {
namespace {

constexpr int64_t kMaxSequences = 16;

/// A line of the file: a request, or why there is none.
struct Entry {
  Json id;
  std::optional<size_t> request;  // index
  std::string line;               // what will be written, once known
};

class Batch {
 public:
  Batch(const RunFlags& flags, const PromptTools& model, EngineOptions options,
        StandardInput& standard_input, Output& output)
      : flags_(flags),
        model_(model),
        options_(std::move(options)),
        standard_input_(standard_input),
        output_(output),
        loader_(model.media, flags.media.options()) {}

  int run();

 private:
  void read_lines();
  void read_line(std::string_view line, size_t number);
  void fail(Entry& entry, const Error& error);
  GenerationRequest parse_request(const Json& line);
  void set_format(const Json& line, GenerationRequest& request);
  Prompt parse_prompt(const Json& line);
  GenerationCallbacks callbacks(Progress& progress, const StopSignals& signals);
  void write_ready();

  const RunFlags& flags_;
  const PromptTools& model_;
  EngineOptions options_;
  StandardInput& standard_input_;
  Output& output_;
  MediaLoader loader_;
  AnswerContext context_;
  Json tools_ = Json::array();  // of --tools, for lines that bring none
  std::string system_;
  OutputFormat format_;  // of the flags
  std::optional<ConstraintMaker> constraints_;
  std::vector<Entry> entries_;
  std::vector<GenerationRequest> requests_;
  std::vector<size_t> entry_of_;  // by request
  size_t written_ = 0;            // entries
  size_t failed_ = 0;
};

void Batch::read_lines() {
  const std::string text = read_input(flags_.batch, standard_input_);
  size_t number = 0;
  for (size_t start = 0; start < text.size(); ++number) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = std::string_view(text).substr(start, end - start);
    start = end + 1;
    if (line.find_first_not_of(" \t\r") != line.npos) read_line(line, number + 1);
  }
  if (entries_.empty()) throw Error(ErrorKind::kUsage, "the batch is empty", flags_.batch);
}

void Batch::read_line(std::string_view line, size_t number) {
  Entry& entry = entries_.emplace_back();
  try {
    const Json json =
        parse_json(line, fmt::format("{} line {}", flags_.batch, number), ErrorKind::kInput);
    if (!json.is_object()) throw Error(ErrorKind::kInput, "the request is not an object");
    if (json.contains("id")) entry.id = json["id"];
    requests_.push_back(parse_request(json));
    entry.request = requests_.size() - 1;
    entry_of_.push_back(entries_.size() - 1);
  } catch (const Error& error) {
    fail(entry, error);
  }
}

void Batch::fail(Entry& entry, const Error& error) {
  ++failed_;
  entry.line = json_line(
      {{"id", entry.id}, {"error", {{"code", error.exit_code()}, {"message", error.what()}}}});
}

const std::string& string_of(const Json& line, const char* key) {
  if (line[key].is_string()) return line[key].get_ref<const std::string&>();
  throw Error(ErrorKind::kInput, "not a text", key);
}

// The files of a line: one name a kind, or a list of them.
std::vector<MediaReference> files_of(const Json& line) {
  std::vector<MediaReference> files;
  for (const auto& [key, value] : line.items()) {
    for (const MediaKind kind : {MediaKind::kImage, MediaKind::kAudio, MediaKind::kVideo}) {
      if (key != media_kind_name(kind)) continue;
      for (const Json& name : value.is_array() ? value : Json::array({value})) {
        MediaReference file;
        file.kind = kind;
        file.place = key;
        if (name.is_string()) file.value = name.get<std::string>();
        if (file.value.empty()) throw Error(ErrorKind::kInput, "not a file's name", key);
        files.push_back(std::move(file));
      }
    }
  }
  return files;
}

Prompt Batch::parse_prompt(const Json& line) {
  const int kinds = static_cast<int>(line.contains("prompt")) +
                    static_cast<int>(line.contains("messages")) +
                    static_cast<int>(line.contains("tokens"));
  if (kinds != 1) {
    throw Error(ErrorKind::kInput, "a request has exactly one of prompt, messages and tokens");
  }
  const bool raw = flags_.raw || line.contains("tokens");
  if (line.contains("system") && (raw || line.contains("messages"))) {
    throw Error(ErrorKind::kInput, "system goes with a prompt for the chat template only");
  }
  if (line.contains("tools") && raw) {
    throw Error(ErrorKind::kInput, "tools go with the chat template only");
  }
  const std::vector<MediaReference> files = files_of(line);
  PromptMedia media{loader_, {}, flags_.media.video_audio};
  if (!line.contains("prompt")) media.files = files;
  if (line.contains("tokens")) {
    Prompt prompt = token_prompt(model_, token_ids_from_json(line["tokens"], "tokens"), &media);
    if (prompt.ids.empty()) throw Error(ErrorKind::kUsage, "the prompt is empty");
    return prompt;
  }
  Json tools = tools_;
  if (line.contains("tools") && flags_.tool_choice != "none") {
    tools = checked_tools(line["tools"], "tools");
  }
  if (line.contains("messages")) {
    if (raw) throw Error(ErrorKind::kInput, "messages need the chat template", "--raw");
    check_messages(line["messages"], "messages");
    return chat_prompt(model_, line["messages"], tools, flags_.thinking.think, &media);
  }
  const std::string& text = string_of(line, "prompt");
  if (files.empty() && text.find_first_not_of(" \t\r\n") == text.npos) {
    throw Error(ErrorKind::kUsage, "the prompt is empty");
  }
  const Json content = content_with_media("", text, files);
  if (raw) return raw_prompt(model_, content, &media);
  const std::string system = line.contains("system") ? string_of(line, "system") : system_;
  return chat_prompt(model_, one_turn(system, content), tools, flags_.thinking.think, &media);
}

// The line's own schema, or the form that the flags ask for.
void Batch::set_format(const Json& line, GenerationRequest& request) {
  const OutputFormat format =
      line.contains("json_schema") ? schema_format(line["json_schema"]) : format_;
  if (format.kind == OutputFormat::Kind::kFree) return;
  if (model_.tokenizer == nullptr) {
    throw Error(ErrorKind::kModel, "the form of an answer needs the checkpoint's tokenizer.json");
  }
  if (!constraints_) constraints_.emplace(*model_.tokenizer, request.stop_ids);
  request.constraint = constraints_->make(format);
  request.sampling.temperature = flags_.sampling.temperature.value_or(0.0f);
}

GenerationRequest Batch::parse_request(const Json& line) {
  for (const auto& [key, value] : line.items()) {
    const auto known = {"id",          "prompt", "messages",   "tokens", "system",
                        "tools",       "image",  "audio",      "video",  "max_tokens",
                        "temperature", "seed",   "json_schema"};
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw Error(ErrorKind::kInput, "unknown key in a request", key);
    }
  }
  const Prompt prompt = parse_prompt(line);
  check_fits(prompt, options_.context, model_.config);
  GenerationRequest request = request_for(prompt, model_);
  request.sampling = flags_.sampling.params(model_.config.generation);
  request.seed = flags_.sampling.seed ? *flags_.sampling.seed : random_seed();
  request.max_tokens = flags_.sampling.max_tokens;
  request.stop = flags_.sampling.stop;
  request.ignore_eos = flags_.ignore_eos;
  request.logprobs = flags_.logprobs;
  request.prompt_logprobs = flags_.prompt_logprobs;
  set_format(line, request);
  if (line.contains("max_tokens")) {
    const Json& value = line["max_tokens"];
    if (!value.is_number_integer() || value < 0 || value > (int64_t{1} << 31)) {
      throw Error(ErrorKind::kInput, "not a number of tokens", "max_tokens");
    }
    request.max_tokens = value.get<int64_t>();
  }
  if (line.contains("temperature")) {
    const Json& value = line["temperature"];
    if (!value.is_number() || !(value >= 0.0 && value <= 100.0)) {
      throw Error(ErrorKind::kInput, "not a number from 0 to 100", "temperature");
    }
    request.sampling.temperature = value.get<float>();
  }
  SamplingFlags sampling = flags_.sampling;
  if (line.contains("temperature")) sampling.temperature = request.sampling.temperature;
  check_block_decoding(model_.config, sampling, false, request.constraint != nullptr, false);
  if (line.contains("seed")) {
    if (!line["seed"].is_number_integer() || line["seed"] < 0) {
      throw Error(ErrorKind::kInput, "not a whole number from 0 on", "seed");
    }
    request.seed = line["seed"].get<uint64_t>();
  }
  return request;
}

void Batch::write_ready() {
  for (; written_ < entries_.size() && !entries_[written_].line.empty(); ++written_) {
    output_.write(std::exchange(entries_[written_].line, {}));
  }
}

GenerationCallbacks Batch::callbacks(Progress& progress, const StopSignals& signals) {
  GenerationCallbacks callbacks;
  callbacks.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  callbacks.on_token = [&](size_t, TokenId) { progress.clear(); };
  callbacks.on_result = [&](size_t index, const GenerationResult& result) {
    Entry& entry = entries_[entry_of_[index]];
    Json line = {{"id", entry.id}};
    line.update(answer_json(context_, requests_[index], result));
    entry.line = json_line(line);
    progress.clear();
    write_ready();
  };
  callbacks.should_stop = [this, &signals]() -> std::optional<FinishReason> {
    if (output_.closed()) return FinishReason::kInterrupted;
    return signals.requested();
  };
  return callbacks;
}

int Batch::run() {
  if (!flags_.system.empty()) system_ = text_or_file(flags_.system, standard_input_);
  if (!flags_.tools.empty() && flags_.tool_choice != "none") {
    tools_ = checked_tools(read_json_input(flags_.tools, standard_input_), flags_.tools);
  }
  format_ = flags_.format.format(standard_input_);
  read_lines();
  int64_t positions = 1;
  for (const GenerationRequest& request : requests_) {
    for (const MediaSpan& span : request.media) options_.media.include(*span.input);
    positions = std::max(positions, planned_positions(static_cast<int64_t>(request.prompt.size()),
                                                      request.max_tokens));
  }
  options_.max_sequences =
      std::clamp<int64_t>(static_cast<int64_t>(requests_.size()), 1, kMaxSequences);
  if (flags_.model.plan) {
    print_plan(plan_memory(options_, positions), false, output_);
    output_.commit();
    return 0;
  }
  std::vector<GenerationResult> results;
  double load_ms = 0.0;
  std::optional<FinishReason> stopped;
  output_.open();
  if (!requests_.empty()) {
    const auto engine = load_engine(options_, positions, !flags_.output.quiet);
    load_ms = engine->load_ms();
    context_ = {flags_.model.name(), load_ms, model_.tokenizer.get()};
    Progress progress("reading the prompts", !flags_.output.quiet);
    const StopSignals signals;
    const GenerationCallbacks calls = callbacks(progress, signals);
    results = engine->generate(requests_, calls);
    if (output_.closed()) throw ClosedPipe();
    // Requests that an interruption kept from starting have a result, but were not told of.
    for (size_t i = 0; i < results.size(); ++i) {
      if (entry_of_[i] >= written_ && entries_[entry_of_[i]].line.empty()) {
        calls.on_result(i, results[i]);
      }
    }
    stopped = signals.requested();
  }
  write_ready();
  output_.commit();
  if (flags_.output.stats) std::fputs(stats_text(load_ms, results).c_str(), stderr);
  if (stopped) return exit_code_of(*stopped);
  if (failed_ == 0) return 0;
  throw Error(ErrorKind::kInput, fmt::format("{} of {} requests failed", failed_, entries_.size()),
              flags_.batch, "see the \"error\" lines");
}

}  // namespace

int run_batch(const RunFlags& flags, const PromptTools& model, EngineOptions options,
              StandardInput& standard_input, Output& output) {
  return Batch(flags, model, std::move(options), standard_input, output).run();
}

}  // namespace gemma4
