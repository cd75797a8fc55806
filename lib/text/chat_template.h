// A checkpoint's chat template: conversations -> prompt text, token ids and media slots.
//
// The template is the checkpoint's own Jinja file, run unmodified by the engine in lib/text/jinja
// on values that remember where each character came from: only characters that the template
// itself wrote can become control tokens.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lib/io/json.h"
#include "lib/text/tokenizer.h"

namespace gemma4 {

/// Where a media item goes: the placeholder that the template printed for it.
struct MediaSlot {
  enum class Kind { kImage, kAudio, kVideo };
  Kind kind;
  size_t token_index;  // index into RenderedPrompt::ids of the placeholder token
};

struct RenderedPrompt {
  std::vector<TextSpan> spans;   // the text, by origin
  std::string text;              // the same, joined
  std::vector<TokenId> ids;      // empty when rendered without a tokenizer
  std::vector<MediaSlot> media;  // in order; only placeholders that the template wrote; empty when
                                 // rendered without a tokenizer
  bool in_reasoning = false;     // the prompt ends inside an open channel
};

struct ChatOptions {
  bool add_generation_prompt = true;
  bool enable_thinking = false;
  bool preserve_thinking = false;
  bool parse_special = false;  // for parity tests: everything counts as trusted
};

class ChatTemplate {
 public:
  /// Compiles a template. `origin` is named in errors. Throws Error(kModel).
  static std::unique_ptr<ChatTemplate> compile(std::string_view source, std::string_view origin);

  /// The template of a checkpoint: chat_template.jinja, else `chat_template` in
  /// tokenizer_config.json (a string, or the one named "default" of several); null when the
  /// checkpoint ships neither. tokenizer_config.json also says how bos_token and its like are
  /// spelled.
  static std::unique_ptr<ChatTemplate> load(const std::filesystem::path& directory);

  ~ChatTemplate();

  /// Renders messages (chat-messages JSON: role, content as text or parts, tool_calls,
  /// reasoning ...) and tools (array, or null). Tool-call arguments given as JSON text are parsed
  /// first, and tool results may be objects (lib/text/chat_messages.h). Throws Error(kInput) for
  /// malformed messages and those that the template refuses, Error(kModel) for a template that
  /// fails. May run in several threads at once.
  RenderedPrompt render(const Json& messages, const Json& tools, const ChatOptions& options,
                        const Tokenizer* tokenizer) const;

 private:
  struct Impl;
  explicit ChatTemplate(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace gemma4
