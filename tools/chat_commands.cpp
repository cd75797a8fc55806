#include "tools/chat_commands.h"

#include <cstdio>
#include <string_view>

#include "lib/base/error.h"
#include "tools/terminal.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

using Handler = void (*)(ChatState&, const std::string& argument);

struct Command {
  const char* name;
  const char* argument;
  const char* help;
  Handler handler;
};

void note(const std::string& text) { std::fputs((text + "\n").c_str(), stderr); }

void require_argument(const std::string& argument, const char* command, const char* shown) {
  if (argument.empty()) {
    throw Error(ErrorKind::kUsage, std::string(command) + " needs an argument", {},
                std::string("write ") + command + " " + shown);
  }
}

void save_if_asked(const ChatState& state) {
  if (!state.save_path.empty()) state.conversation.save(state.save_path);
}

// Answers the last message; `again` is what to take back when nothing came.
void answer_last(ChatState& state) {
  const size_t before = state.conversation.messages().size();
  GenerationResult result;
  try {
    result = state.session.answer(state.conversation);
  } catch (const Error&) {
    state.conversation.undo();
    throw;
  }
  if (result.finish_reason == FinishReason::kInterrupted ||
      result.finish_reason == FinishReason::kTerminated) {
    state.stopped = result.finish_reason;
    if (state.conversation.messages().size() == before) {
      state.conversation.undo();
      if (state.lines.interactive()) note("(stopped; your message was taken back)");
    }
  }
  if (state.show_stats) std::fputs(state.session.stats().c_str(), stderr);
  save_if_asked(state);
}

void show_help(ChatState& state, const std::string&);

void leave(ChatState& state, const std::string&) { state.done = true; }

void reset(ChatState& state, const std::string&) {
  state.conversation.reset();
  state.read_text.clear();
  state.files.clear();
  save_if_asked(state);
  note("the conversation is empty again");
}

void undo(ChatState& state, const std::string&) {
  if (!state.conversation.undo()) throw Error(ErrorKind::kUsage, "nothing to undo");
  save_if_asked(state);
  note("the last message and its answer are gone");
}

void retry(ChatState& state, const std::string&) {
  if (!state.conversation.drop_answer()) throw Error(ErrorKind::kUsage, "nothing to try again");
  answer_last(state);
}

// The words of a message whose content is a text or a list of parts.
std::string words_of(const Json& content) {
  if (!content.is_array()) return content.is_string() ? content.get<std::string>() : "";
  std::string words;
  for (const Json& part : content) {
    if (!part.is_object() || !part.contains("text") || !part["text"].is_string()) continue;
    words += (words.empty() ? "" : "\n") + part["text"].get<std::string>();
  }
  return words;
}

// The old message stays until the new one is sent.
void edit(ChatState& state, const std::string& argument) {
  Conversation before = state.conversation;
  const auto message = before.undo();
  if (!message) throw Error(ErrorKind::kUsage, "nothing to edit");
  if (argument.empty()) {
    state.lines.prefill(words_of(message->value("content", Json())));
    state.editing = true;
    return;
  }
  state.editing = true;
  send_message(state, argument);
}

void system(ChatState& state, const std::string& argument) {
  state.conversation.set_system(argument);
  save_if_asked(state);
  note(argument.empty() ? "no system message" : "system message set");
}

void think(ChatState& state, const std::string& argument) {
  if (argument != "on" && argument != "off") {
    throw Error(ErrorKind::kUsage, "/think is on or off", {},
                std::string("it is ") + (state.session.thinking() ? "on" : "off"));
  }
  state.session.set_thinking(argument == "on");
  note("thinking is " + argument);
}

void read(ChatState& state, const std::string& argument) {
  require_argument(argument, "/read", "FILE");
  const std::string text =
      without_final_newline(valid_text(read_input(argument, state.standard_input), argument));
  if (!state.read_text.empty()) state.read_text += "\n\n";
  state.read_text += text;
  note(argument + ": " + std::to_string(text.size()) + " bytes, to go with your next message");
}

void attach(ChatState& state, const std::string& argument, MediaKind kind) {
  const std::string name(media_kind_name(kind));
  require_argument(argument, ("/" + name).c_str(), "FILE");
  if (argument == "-") {
    throw Error(ErrorKind::kUsage, "standard input is the conversation", "-", "name a file");
  }
  MediaReference file;
  file.kind = kind;
  file.value = argument;
  file.place = "/" + name;
  const std::string what = state.session.attach(file);
  state.files.push_back(std::move(file));
  note(what + ", to go with your next message");
}

void image(ChatState& state, const std::string& argument) {
  attach(state, argument, MediaKind::kImage);
}

void audio(ChatState& state, const std::string& argument) {
  attach(state, argument, MediaKind::kAudio);
}

void video(ChatState& state, const std::string& argument) {
  attach(state, argument, MediaKind::kVideo);
}

void save(ChatState& state, const std::string& argument) {
  const std::string path = argument.empty() ? state.save_path : argument;
  require_argument(path, "/save", "FILE");
  state.conversation.save(path);
  note("saved to " + path);
}

void load(ChatState& state, const std::string& argument) {
  require_argument(argument, "/load", "FILE");
  state.conversation.load(argument, state.standard_input);
  save_if_asked(state);
  note(std::to_string(state.conversation.messages().size()) + " messages from " + argument);
}

void stats(ChatState& state, const std::string&) {
  std::fputs(state.session.stats().c_str(), stderr);
}

constexpr Command kCommands[] = {
    {"/help", "", "this list", show_help},
    {"/exit", "", "end the chat (or Ctrl-D)", leave},
    {"/reset", "", "forget all but the system message", reset},
    {"/undo", "", "forget the last message and its answer", undo},
    {"/retry", "", "answer the last message anew", retry},
    {"/edit", "[TEXT]", "change the last message", edit},
    {"/system", "[TEXT]", "set the system message; without TEXT: remove it", system},
    {"/think", "on|off", "let the model reason before it answers", think},
    {"/image", "FILE", "show the model a picture with your next message", image},
    {"/audio", "FILE", "let it hear a recording", audio},
    {"/video", "FILE", "show it frames of a video", video},
    {"/read", "FILE", "put a file in front of your next message", read},
    {"/save", "[FILE]", "write the conversation, one message a line", save},
    {"/load", "FILE", "go on with a saved conversation", load},
    {"/stats", "", "times, tokens and memory of the last answer", stats},
};

void show_help(ChatState&, const std::string&) {
  for (const Command& command : kCommands) {
    std::fprintf(stderr, "%-8s %-7s %s\n", command.name, command.argument, command.help);
  }
  note(
      "\"\"\" ... \"\"\" around a message of several lines, or \\ at the end of a line;\n"
      "// at the start sends a slash; Ctrl-C stops an answer");
}

}  // namespace

void send_message(ChatState& state, const std::string& text) {
  std::vector<MediaReference> files = std::exchange(state.files, {});
  if (std::exchange(state.editing, false)) {
    const auto old = state.conversation.undo();
    // The words are new, the pictures stay.
    if (old && files.empty()) files = extract_media(Json::array({*old}), false).media;
  }
  state.conversation.add_user(content_with_media(std::exchange(state.read_text, {}), text, files));
  answer_last(state);
}

void run_chat_command(ChatState& state, const std::string& line) {
  const size_t end = std::min(line.find_first_of(" \t\n"), line.size());
  const std::string name = line.substr(0, end);
  const size_t start = std::min(line.find_first_not_of(" \t\n", end), line.size());
  std::string argument = line.substr(start);
  while (!argument.empty() &&
         std::string_view(" \t\n").find(argument.back()) != std::string::npos) {
    argument.pop_back();
  }
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    if (!argument.empty() && *command.argument == '\0') {
      throw Error(ErrorKind::kUsage, name + " takes no argument", printable(argument, 80));
    }
    state.editing = false;
    command.handler(state, argument);
    return;
  }
  throw Error(ErrorKind::kUsage, "unknown command", printable(name, 80),
              "/help lists them; begin with // to send a slash");
}

}  // namespace gemma4
