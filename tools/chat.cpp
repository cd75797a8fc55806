// gemma4 chat: a conversation, on a terminal or through a pipe.

#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "tools/block_decoding.h"
#include "tools/canvas_view.h"
#include "tools/chat_commands.h"
#include "tools/chat_session.h"
#include "tools/command_line.h"
#include "tools/line_editor.h"
#include "tools/model_loading.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"
#include "tools/terminal.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(Piped in, every line is a turn. A message of several lines stands between """ and """, or its
lines end in \. Ctrl-C stops the answer, Ctrl-D ends the chat, /help lists the commands.

Examples:
  gemma4 chat -m e4b
  gemma4 chat --think -s "You are a careful proofreader."
  gemma4 chat --image plan.png          # or /image plan.png in the chat
  gemma4 chat --load talk.jsonl --save talk.jsonl
  printf 'My name is Ada.\nWhat is my name?\n' | gemma4 chat -q

)";

// What chat plans its memory for when --context does not say.
constexpr int64_t kPlannedContext = 8192;

struct ChatFlags {
  ModelFlags model;
  SamplingFlags sampling;
  ThinkingFlags thinking;
  MediaFlags media;
  ToolFlags tools;
  OutputFlags output;
  std::string system;
  std::string load;
  std::string save;
  bool history = true;
  bool json = false;
  bool show_denoising = false;

  void add_to(CLI::App& app);
};

void ChatFlags::add_to(CLI::App& app) {
  const char* group = "Conversation";
  add_value(app, "-s,--system", system, "TEXT|@FILE", "the system message")->group(group);
  add_value(app, "--load", load, "FILE", "go on with a saved conversation (JSONL)")->group(group);
  add_value(app, "--save", save, "FILE", "keep the conversation there, one message a line")
      ->group(group);
  add_switch(app, "--history", history, "keep what is typed in $XDG_STATE_HOME/gemma4/history")
      ->group(group);
  media.add_to(app, true);
  tools.add_to(app, "Tools");
  thinking.add_to(app);
  output.add_to(app);
  add_switch(app, "--show-denoising", show_denoising,
             "diffusion models: show every block as it settles")
      ->group("Output");
  add_switch(app, "--json", json, "with --plan: as JSON")->group("Output");
  sampling.add_to(app);
  model.add_to(app);
  app.footer(std::string(kExamples) + kExitCodesHelp);
}

class ChatCommand : public Subcommand {
 public:
  explicit ChatCommand(CLI::App& app) { flags_.add_to(app); }
  int run() override;

 private:
  MediaNeeds planned_media(const MediaSettings& model) const;
  std::unique_ptr<LineSource> open_lines() const;
  int talk(ChatState& state);
  void turn(ChatState& state, const InputMessage& message);

  ChatFlags flags_;
  StandardInput standard_input_;
};

// One picture and one clip at a time: which ones will come is not known yet.
MediaNeeds ChatCommand::planned_media(const MediaSettings& model) const {
  MediaNeeds needs;
  const int budget = flags_.media.options().image_budget;
  if (model.images) {
    needs.image_tokens = std::max(budget > 0 ? budget : model.image_budget, model.video_budget);
  }
  if (model.audio) needs.audio_tokens = kMaxAudioTokens;
  needs.total_tokens = std::max(needs.image_tokens, needs.audio_tokens);
  return needs;
}

std::unique_ptr<LineSource> ChatCommand::open_lines() const {
  if (!is_terminal(0) || !is_terminal(2)) return std::make_unique<PipedLines>();
  std::optional<ChatHistory> history;
  const std::filesystem::path path = ChatHistory::default_path();
  if (flags_.history && !path.empty()) history.emplace(path);
  return std::make_unique<LineEditor>(std::move(history));
}

void ChatCommand::turn(ChatState& state, const InputMessage& message) {
  if (!message.quoted && message.text.starts_with('/') && !message.text.starts_with("//")) {
    run_chat_command(state, message.text);
  } else {
    const bool literal_slash = !message.quoted && message.text.starts_with("//");
    send_message(state, literal_slash ? message.text.substr(1) : message.text);
  }
}

int ChatCommand::talk(ChatState& state) {
  const bool interactive = state.lines.interactive();
  while (!state.done) {
    const InputMessage message = read_message(state.lines);
    if (message.kind == InputLine::Kind::kEnd) {
      if (interactive) std::fputs("\n", stderr);
      break;
    }
    if (message.kind == InputLine::Kind::kAbandoned) {
      if (!flags_.output.quiet) std::fputs("(Ctrl-D or /exit ends the chat)\n", stderr);
      continue;
    }
    if (message.text.find_first_not_of(" \t\r\n") == std::string::npos) continue;
    state.lines.remember(message.text);
    try {
      turn(state, message);
    } catch (const Error& error) {
      // A person corrects the mistake; for a pipe it is the end.
      if (!interactive || error.kind() == ErrorKind::kResource) throw;
      std::fprintf(stderr, "gemma4: %s\n", error.what());
    }
    if (state.stopped == FinishReason::kTerminated) return kExitTerminated;
    if (state.stopped && !interactive) return exit_code_of(*state.stopped);
    state.stopped.reset();
  }
  return 0;
}

int ChatCommand::run() {
  flags_.output.apply();
  flags_.media.check(true);
  if (flags_.json && !flags_.model.plan) {
    throw Error(ErrorKind::kUsage, "--json goes with --plan only", {}, "see gemma4 chat --help");
  }
  if (flags_.show_denoising && (flags_.output.quiet || flags_.model.plan)) {
    throw Error(ErrorKind::kUsage, "--show-denoising excludes --quiet and --plan", {},
                "see gemma4 chat --help");
  }
  EngineOptions options = flags_.model.engine_options();
  options.directory = find_model(flags_.model, true);
  const PromptTools model = load_prompt_tools(options.directory);
  check_block_decoding(model.config, flags_.sampling, flags_.show_denoising, false, false);
  if (flags_.show_denoising) CanvasView(true, nullptr);  // refused before anything is loaded
  options.tokenizer = model.tokenizer.get();
  if (model.chat_template == nullptr) {
    throw Error(ErrorKind::kModel, "the checkpoint has no tokenizer or no chat template",
                options.directory.string(), "chat needs both; use gemma4 run");
  }
  log_info("chat template: " + model.chat_template_origin);
  Output output(flags_.output.output);
  const int64_t positions = options.context > 0 ? options.context : kPlannedContext;
  options.media = planned_media(model.media);
  if (flags_.model.plan) {
    print_plan(plan_memory(options, positions), flags_.json, output);
    output.commit();
    return 0;
  }
  Conversation conversation;
  if (!flags_.load.empty()) conversation.load(flags_.load, standard_input_);
  if (!flags_.system.empty()) {
    conversation.set_system(text_or_file(flags_.system, standard_input_));
  }
  if (!flags_.save.empty()) conversation.save(flags_.save);  // a wrong path is told at once
  flags_.media.claim_standard_input(standard_input_);
  const auto engine = load_engine(options, positions, !flags_.output.quiet);
  ChatSession session(model, *engine, flags_.sampling, flags_.thinking, flags_.media, flags_.tools,
                      flags_.tools.declared(standard_input_), flags_.output, output,
                      flags_.show_denoising);
  const auto lines = open_lines();
  if (lines->interactive() && !flags_.output.quiet) {
    fmt::print(stderr, "{}; /help lists the commands, Ctrl-D ends the chat\n", flags_.model.name());
  }
  ChatState state{conversation, session, *lines, standard_input_, flags_.save, flags_.output.stats};
  for (const MediaReference& file : flags_.media.files()) {
    session.attach(file);
    state.files.push_back(file);
  }
  std::optional<SurviveInterrupts> survive;
  if (lines->interactive()) survive.emplace();
  const int code = talk(state);
  output.commit();
  return code;
}

}  // namespace

std::unique_ptr<Subcommand> make_chat(CLI::App& app) { return std::make_unique<ChatCommand>(app); }

}  // namespace gemma4
