// gemma4 run: one prompt, one answer.

#include <fmt/format.h>

#include <cstdio>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tools/answer_json.h"
#include "tools/answer_printer.h"
#include "tools/batch.h"
#include "tools/block_decoding.h"
#include "tools/canvas_view.h"
#include "tools/command_line.h"
#include "tools/model_loading.h"
#include "tools/progress.h"
#include "tools/prompt.h"
#include "tools/run_flags.h"
#include "tools/stats.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"
#include "tools/terminal.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

class RunCommand : public Subcommand {
 public:
  explicit RunCommand(CLI::App& app) { flags_.add_to(app); }
  int run() override;

 private:
  Json prompt_content();
  std::string piped_text();
  Json tools_from_flags();
  std::optional<Prompt> read_prompt();
  Prompt messages_prompt();
  void print_prompt(const Prompt& prompt);
  int print_memory_plan(const Prompt* prompt);
  GenerationRequest make_request(const Prompt& prompt);
  GenerationResult generate(const GenerationRequest& request);
  void write_answer(const GenerationRequest& request, const GenerationResult& result);

  RunFlags flags_;
  StandardInput standard_input_;
  PromptTools model_;
  EngineOptions options_;
  std::optional<MediaLoader> loader_;
  std::optional<PromptMedia> media_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Output> output_;
  AnswerContext context_;
};

// Standard input is part of the prompt when it is not a terminal; nothing may wait for keys there.
std::string RunCommand::piped_text() {
  if (standard_input_.was_read() || is_terminal(0)) return {};
  return standard_input_.read();
}

// The text before the words, and the words with what they mark.
Json RunCommand::prompt_content() {
  std::vector<std::string> parts;
  std::string named;  // standard input by its name, "-"
  std::string words;
  for (const std::string& word : flags_.words) {
    if (word == "-") {
      named = standard_input_.read();
    } else {
      words += (words.empty() ? "" : " ") + word;
    }
  }
  if (flags_.prompt == "-") {
    named = standard_input_.read();
  } else if (flags_.prompt) {
    words = *flags_.prompt;
  }
  std::vector<std::string> files;
  for (const std::string& file : flags_.files) {
    files.push_back(valid_text(read_input(file, standard_input_), file));
  }
  parts.push_back(valid_text(named.empty() ? piped_text() : named, "standard input"));
  for (std::string& file : files) parts.push_back(std::move(file));
  for (std::string& part : parts) part = without_final_newline(std::move(part));
  std::string text;
  for (const std::string& part : parts) {
    if (!text.empty() && !part.empty()) text += "\n\n";
    text += part;
  }
  return content_with_media(text, valid_text(words, "the command line"), flags_.media.files());
}

Json RunCommand::tools_from_flags() {
  if (flags_.tools.empty() || flags_.tool_choice == "none") return Json::array();
  return checked_tools(read_json_input(flags_.tools, standard_input_), flags_.tools);
}

Prompt RunCommand::messages_prompt() {
  Json file = read_json_input(flags_.messages, standard_input_);
  Json tools = tools_from_flags();
  if (file.is_object()) {
    if (file.contains("tools") && flags_.tools.empty() && flags_.tool_choice != "none") {
      tools = checked_tools(file["tools"], flags_.messages);
    }
    file = file.contains("messages") ? Json(file["messages"]) : Json();
  }
  check_messages(file, flags_.messages);
  return chat_prompt(model_, file, tools, flags_.thinking.think, &*media_);
}

// Nothing: no prompt was given.
std::optional<Prompt> RunCommand::read_prompt() {
  if (!flags_.tokens.empty()) {
    const std::string text = text_or_file(flags_.tokens, standard_input_);
    Prompt prompt = token_prompt(model_, parse_token_ids(text, "--tokens"), &*media_);
    if (prompt.ids.empty()) return std::nullopt;
    return prompt;
  }
  if (!flags_.messages.empty()) return messages_prompt();
  const std::string system =
      flags_.system.empty() ? "" : text_or_file(flags_.system, standard_input_);
  const Json tools = tools_from_flags();
  const Json content = prompt_content();
  if (content.is_string()) {
    const auto& text = content.get_ref<const std::string&>();
    if (text.find_first_not_of(flags_.raw ? "" : " \t\r\n") == text.npos) return std::nullopt;
  }
  if (flags_.raw) return raw_prompt(model_, content, &*media_);
  return chat_prompt(model_, one_turn(system, content), tools, flags_.thinking.think, &*media_);
}

void RunCommand::print_prompt(const Prompt& prompt) {
  if (flags_.json) {
    output_->write(json_line({{"prompt_text", model_.tokenizer ? Json(prompt.text) : Json()},
                              {"prompt_token_ids", prompt.ids},
                              {"media", prompt.media_list}}));
    return;
  }
  std::string ids;
  for (const TokenId id : prompt.ids) ids += (ids.empty() ? "" : ",") + std::to_string(id);
  if (model_.tokenizer) output_->write(prompt.text + "\n\n");
  output_->write(ids + "\n");
}

int RunCommand::print_memory_plan(const Prompt* prompt) {
  if (prompt != nullptr) options_.media = media_needs(prompt->media);
  const int64_t positions =
      prompt != nullptr
          ? planned_positions(static_cast<int64_t>(prompt->ids.size()), flags_.sampling.max_tokens)
          : model_.config.text.max_position_embeddings;
  print_plan(plan_memory(options_, positions), flags_.json, *output_);
  output_->commit();
  return 0;
}

GenerationRequest RunCommand::make_request(const Prompt& prompt) {
  GenerationRequest request = request_for(prompt, model_);
  request.sampling = flags_.sampling.params(model_.config.generation);
  request.seed = flags_.sampling.seed ? *flags_.sampling.seed : random_seed();
  request.max_tokens = flags_.sampling.max_tokens;
  request.stop = flags_.sampling.stop;
  request.ignore_eos = flags_.ignore_eos;
  request.logprobs = flags_.logprobs;
  request.prompt_logprobs = flags_.prompt_logprobs;
  if (flags_.format.any()) {
    if (model_.tokenizer == nullptr) {
      throw Error(ErrorKind::kModel, "the form of an answer needs the checkpoint's tokenizer.json");
    }
    request.constraint = ConstraintMaker(*model_.tokenizer, request.stop_ids)
                             .make(flags_.format.format(standard_input_));
    request.sampling.temperature = flags_.sampling.temperature.value_or(0.0f);
  }
  return request;
}

GenerationResult RunCommand::generate(const GenerationRequest& request) {
  const bool streams_text = !flags_.json && !flags_.jsonl && !flags_.extract;
  AnswerPrinter printer(*output_, flags_.thinking, flags_.output.color);
  Progress progress("reading the prompt", !flags_.output.quiet);
  CanvasView canvas(flags_.show_denoising, model_.tokenizer.get());
  size_t calls = 0;
  GenerationCallbacks callbacks;
  callbacks.on_event = [&](size_t, const OutputEvent& event) {
    progress.clear();
    canvas.clear();
    if (flags_.jsonl) output_->write(json_line(event_json(event, calls)));
    if (streams_text) printer.event(event);
    if (event.kind == OutputEvent::Kind::kToolCall) ++calls;
  };
  callbacks.on_token = [&](size_t, TokenId token) {
    progress.clear();
    canvas.clear();
    if (streams_text && model_.tokenizer == nullptr) printer.id(token);
  };
  callbacks.on_canvas = [&](size_t, std::span<const TokenId> tokens, bool) {
    progress.clear();
    canvas.draw(tokens);
  };
  callbacks.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  const StopSignals signals;
  callbacks.should_stop = [&]() -> std::optional<FinishReason> {
    if (output_->closed()) return FinishReason::kInterrupted;
    return signals.requested();
  };
  output_->open();
  GenerationResult result = engine_->generate({&request, 1}, callbacks).front();
  progress.clear();
  canvas.clear();
  if (output_->closed()) throw ClosedPipe();
  if (streams_text) printer.finish();
  write_answer(request, result);
  return result;
}

// What is written when the answer is complete, and the file's commit.
void RunCommand::write_answer(const GenerationRequest& request, const GenerationResult& result) {
  if (flags_.json) output_->write(json_line(answer_json(context_, request, result)));
  if (flags_.jsonl) {
    output_->write(json_line(stats_event_json(context_, result)));
    output_->write(json_line(end_event_json(context_, request, result)));
  }
  if (flags_.extract) output_->write(first_fenced_block(result.output.content));
  output_->commit();
}

int RunCommand::run() {
  flags_.check();
  flags_.output.apply();
  if (flags_.prompt_is_text() && flags_.words.empty() && !flags_.prompt && flags_.files.empty() &&
      flags_.media.files().empty() && is_terminal(0) && !flags_.model.plan) {
    throw Error(ErrorKind::kUsage, "no prompt", {},
                "write one (gemma4 run \"Why is the sky blue?\"), pipe one in, or use gemma4 chat");
  }
  options_ = flags_.model.engine_options();
  options_.directory = find_model(flags_.model, flags_.tokens.empty());
  model_ = load_prompt_tools(options_.directory, flags_.chat_template);
  check_block_decoding(model_.config, flags_.sampling, flags_.show_denoising, flags_.format.any(),
                       flags_.logprobs || flags_.prompt_logprobs);
  if (flags_.show_denoising) CanvasView(true, nullptr);  // refused before anything is loaded
  if (model_.chat_template) log_info("chat template: " + model_.chat_template_origin);
  options_.tokenizer = model_.tokenizer.get();
  output_ = std::make_unique<Output>(flags_.output.output);
  context_ = {flags_.model.name(), 0.0, model_.tokenizer.get()};
  loader_.emplace(model_.media, flags_.media.options());
  media_.emplace(PromptMedia{*loader_, {}, flags_.media.video_audio});
  if (!flags_.prompt_is_text()) media_->files = flags_.media.files();
  flags_.media.claim_standard_input(standard_input_);
  if (!flags_.batch.empty()) {
    return run_batch(flags_, model_, options_, standard_input_, *output_);
  }

  const std::optional<Prompt> prompt = read_prompt();
  if (!prompt) {
    if (flags_.model.plan) return print_memory_plan(nullptr);
    throw Error(ErrorKind::kUsage, "the prompt is empty");
  }
  if (flags_.print_prompt) {
    print_prompt(*prompt);
    output_->commit();
    return 0;
  }
  check_fits(*prompt, options_.context, model_.config);
  if (flags_.model.plan) return print_memory_plan(&*prompt);
  const GenerationRequest request = make_request(*prompt);
  const int64_t positions =
      planned_positions(static_cast<int64_t>(prompt->ids.size()), request.max_tokens);
  options_.media = media_needs(prompt->media);
  engine_ = load_engine(options_, positions, !flags_.output.quiet);
  context_.load_ms = engine_->load_ms();
  const GenerationResult result = generate(request);
  if (flags_.output.stats) std::fputs(stats_text(context_.load_ms, {&result, 1}).c_str(), stderr);
  require_complete(result);
  return exit_code_of(result.finish_reason);
}

}  // namespace

std::unique_ptr<Subcommand> make_run(CLI::App& app) { return std::make_unique<RunCommand>(app); }

}  // namespace gemma4
