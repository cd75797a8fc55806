// From text, messages or ids to the tokens that the model reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/media_loader.h"

namespace gemma4 {

struct Prompt {
  std::vector<TokenId> ids;
  std::string text;   // what the ids spell; empty without a tokenizer
  bool chat = false;  // made by the chat template: the answer has channels and tool calls
  OutputParserOptions parser;
  std::vector<MediaSpan> media;     // soft tokens among the ids
  Json media_list = Json::array();  // what the media are, for --print-prompt
};

/// The media of prompts.
struct PromptMedia {
  MediaLoader& loader;
  std::vector<MediaReference> files = {};  // for places that name no file, in order
  bool video_audio = false;
};

/// Renders a conversation. `tools`: an array, empty for none. `media` null: as the checkpoint says,
/// without files. Throws Error(kUsage) when the model has no chat template, Error(kInput) for
/// messages that the template refuses and media that cannot be read.
Prompt chat_prompt(const PromptTools& model, const Json& messages, const Json& tools, bool thinking,
                   PromptMedia* media = nullptr);
/// Content (a text, or a list of text and media parts) without a template, BOS in front where the
/// tokenizer or the config asks for it.
Prompt raw_prompt(const PromptTools& model, const Json& content, PromptMedia* media = nullptr);
/// Ids as they are; their runs of soft tokens are filled with the files, in order. Throws
/// Error(kInput) for an id that the model does not have, and for files that do not fit.
Prompt token_prompt(const PromptTools& model, std::vector<TokenId> ids,
                    PromptMedia* media = nullptr);

/// "2,105,2364", with commas, blanks or newlines between, or a JSON array.
std::vector<TokenId> parse_token_ids(std::string_view text, std::string_view origin);
std::vector<TokenId> token_ids_from_json(const Json& ids, std::string_view origin);

/// The messages of one prompt; `user` is a text or a list of parts.
Json one_turn(const std::string& system, const Json& user);

/// Checks what a chat template relies on: an array of objects with a role.
void check_messages(const Json& messages, std::string_view origin);
/// The tools of a JSON value (an array of function tools), checked; parameters without a type
/// become objects, as the declarations of Gemma 4 need it. Throws Error(kInput).
Json checked_tools(const Json& tools, std::string_view origin);

/// Throws Error(kInput) with the counts when the prompt alone is longer than the context.
/// `wanted`: the --context flag, 0 when not given.
void check_fits(const Prompt& prompt, int64_t wanted, const ModelConfig& config);

/// What a prompt's media ask of the engine.
MediaNeeds media_needs(std::span<const MediaSpan> media);

/// A request for an answer to this prompt; sampling and limits are the caller's.
GenerationRequest request_for(const Prompt& prompt, const PromptTools& model);

}  // namespace gemma4
