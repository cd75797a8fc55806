// A loaded model in conversation: renders the messages, streams the answer, keeps keys and values.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "lib/runtime/engine.h"
#include "tools/answer_printer.h"
#include "tools/conversation.h"
#include "tools/flags.h"
#include "tools/media_flags.h"
#include "tools/output.h"
#include "tools/prompt.h"

namespace gemma4 {

class ChatSession {
 public:
  /// The references outlive the session.
  ChatSession(const PromptTools& model, Engine& engine, const SamplingFlags& sampling,
              const ThinkingFlags& thinking, const MediaFlags& media,
              const OutputFlags& output_flags, Output& output, bool show_denoising);

  /// Reads a file, so that mistakes are told at once, and says what it is: "photo.jpg: 640x480,
  /// 266 tokens". Reads it again when it was named before. Throws what prepare_media throws.
  std::string attach(const MediaReference& file);

  /// Answers the conversation's last message and adds the answer to it. An answer that was stopped
  /// before it began is not added. Only what changed since the last turn is computed.
  GenerationResult answer(Conversation& conversation);

  void set_thinking(bool on) { thinking_ = on; }
  bool thinking() const { return thinking_; }
  /// Lines on the last answer and the context.
  std::string stats() const;

 private:
  const PromptTools& model_;
  Engine& engine_;
  const SamplingFlags& sampling_;
  const OutputFlags& output_flags_;
  Output& output_;
  AnswerPrinter printer_;
  MediaLoader loader_;
  PromptMedia media_;
  std::unique_ptr<Session> session_;
  bool thinking_;
  bool show_denoising_;
  uint64_t seed_;
  std::optional<GenerationResult> last_;
};

}  // namespace gemma4
