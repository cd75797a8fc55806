// From text, messages or ids to the tokens that the model reads.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "lib/runtime/engine.h"

namespace gemma4 {

struct Prompt {
  std::vector<TokenId> ids;
  std::string text;   // what the ids spell; empty without a tokenizer
  bool chat = false;  // made by the chat template: the answer has channels and tool calls
  OutputParserOptions parser;
};

/// Renders a conversation. `tools`: an array, empty for none.
/// Throws Error(kUsage) when the model has no chat template, Error(kInput) for messages that the
/// template refuses or that hold media.
Prompt chat_prompt(const PromptTools& model, const Json& messages, const Json& tools,
                   bool thinking);
/// Text without a template, BOS in front where the tokenizer or the config asks for it.
Prompt raw_prompt(const PromptTools& model, std::string_view text);
/// Ids as they are. Throws Error(kInput) for an id that the model does not have.
Prompt token_prompt(const PromptTools& model, std::vector<TokenId> ids);

/// "2,105,2364", with commas, blanks or newlines between, or a JSON array.
std::vector<TokenId> parse_token_ids(std::string_view text, std::string_view origin);
std::vector<TokenId> token_ids_from_json(const Json& ids, std::string_view origin);

/// The messages of a prompt in words.
Json one_turn(const std::string& system, const std::string& user);

/// Checks what a chat template relies on: an array of objects with a role.
void check_messages(const Json& messages, std::string_view origin);
/// The tools of a JSON value (an array of function tools), checked; parameters without a type
/// become objects, as the declarations of Gemma 4 need it. Throws Error(kInput).
Json checked_tools(const Json& tools, std::string_view origin);

/// Throws Error(kInput) with the counts when the prompt alone is longer than the context.
/// `wanted`: the --context flag, 0 when not given.
void check_fits(const Prompt& prompt, int64_t wanted, const ModelConfig& config);

/// A request for an answer to this prompt; sampling and limits are the caller's.
GenerationRequest request_for(const Prompt& prompt, const PromptTools& model);

}  // namespace gemma4
