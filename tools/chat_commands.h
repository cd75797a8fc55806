// The slash commands of a chat, and what a message does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/runtime/generation.h"
#include "tools/chat_session.h"
#include "tools/conversation.h"
#include "tools/line_source.h"

namespace gemma4 {

struct ChatState {
  Conversation& conversation;
  ChatSession& session;
  LineSource& lines;
  StandardInput& standard_input;
  std::string save_path;                     // empty: not saved
  bool show_stats = false;                   // after every answer
  std::string read_text = {};                // of /read, for the next message
  std::vector<MediaReference> files = {};    // of /image, /audio and /video, for the next message
  bool editing = false;                      // the next message takes the place of the last one
  bool done = false;                         // /exit
  std::optional<FinishReason> stopped = {};  // the last answer was stopped by a signal
};

/// Adds a user message, answers it, saves. When no answer comes the message is taken back.
void send_message(ChatState& state, const std::string& text);

/// "/think on" and the like. Throws Error(kUsage) for an unknown command or argument.
void run_chat_command(ChatState& state, const std::string& line);

}  // namespace gemma4
