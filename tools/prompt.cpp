#include "tools/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "lib/base/error.h"

namespace gemma4 {

Prompt chat_prompt(const PromptTools& model, const Json& messages, const Json& tools,
                   bool thinking) {
  if (model.tokenizer == nullptr) {
    throw Error(ErrorKind::kModel, "the checkpoint has no tokenizer.json", {},
                "add the file, or give the prompt as ids with --tokens");
  }
  if (model.chat_template == nullptr) {
    throw Error(ErrorKind::kUsage, "the model has no chat template", {},
                "use --raw, or give one with --chat-template");
  }
  ChatOptions options;
  options.enable_thinking = thinking;
  RenderedPrompt rendered =
      model.chat_template->render(messages, tools, options, model.tokenizer.get());
  if (!rendered.media.empty()) {
    throw Error(ErrorKind::kInput, "the messages hold media, which this build does not read", {},
                "remove the image, audio and video parts");
  }
  Prompt prompt;
  prompt.ids = std::move(rendered.ids);
  prompt.text = std::move(rendered.text);
  prompt.chat = true;
  prompt.parser = {thinking, rendered.in_reasoning, tools};
  return prompt;
}

Prompt raw_prompt(const PromptTools& model, std::string_view text) {
  if (model.tokenizer == nullptr) {
    throw Error(ErrorKind::kModel, "the checkpoint has no tokenizer.json", {},
                "add the file, or give the prompt as ids with --tokens");
  }
  Prompt prompt;
  prompt.ids = model.tokenizer->encode(text, false);
  if (model.tokenizer->adds_bos() || model.config.bos_id >= 0) {
    prompt.ids.insert(prompt.ids.begin(), model.config.bos_id);
    prompt.text = model.tokenizer->token_bytes(model.config.bos_id);
  }
  prompt.text += text;
  return prompt;
}

Prompt token_prompt(const PromptTools& model, std::vector<TokenId> ids) {
  const int32_t vocab_size = model.config.text.vocab_size;
  for (const TokenId id : ids) {
    if (id >= 0 && id < vocab_size) continue;
    throw Error(ErrorKind::kInput, "token id is out of range", std::to_string(id),
                fmt::format("ids are 0 to {}", vocab_size - 1));
  }
  Prompt prompt;
  prompt.ids = std::move(ids);
  // The model may have rows that the tokenizer does not name.
  const auto named = [&](TokenId id) { return id < model.tokenizer->vocab_size(); };
  if (model.tokenizer != nullptr && std::all_of(prompt.ids.begin(), prompt.ids.end(), named)) {
    prompt.text = model.tokenizer->decode(prompt.ids, false);
  }
  return prompt;
}

std::vector<TokenId> token_ids_from_json(const Json& ids, std::string_view origin) {
  std::vector<TokenId> result;
  const auto fail = [&](const Json& value) {
    throw Error(ErrorKind::kInput, "not a token id: " + value.dump(-1, ' ', true), origin,
                "give whole numbers, as 2,105,2364 or [2, 105, 2364]");
  };
  if (!ids.is_array()) fail(ids);
  for (const Json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id > INT32_MAX) fail(id);
    result.push_back(id.get<TokenId>());
  }
  return result;
}

std::vector<TokenId> parse_token_ids(std::string_view text, std::string_view origin) {
  constexpr std::string_view kApart = ", \t\r\n";
  const size_t start = text.find_first_not_of(kApart);
  if (start == text.npos) return {};
  if (text[start] == '[') {
    return token_ids_from_json(parse_json(text, origin, ErrorKind::kInput), origin);
  }
  std::vector<TokenId> ids;
  for (size_t at = start; at != text.npos; at = text.find_first_not_of(kApart, at)) {
    const size_t end = std::min(text.find_first_of(kApart, at), text.size());
    TokenId id = 0;
    const auto [stop, error] = std::from_chars(text.data() + at, text.data() + end, id);
    if (error != std::errc() || stop != text.data() + end || id < 0) {
      throw Error(ErrorKind::kInput, "not a token id: " + printable(text.substr(at, end - at), 40),
                  origin, "give whole numbers, as 2,105,2364 or [2, 105, 2364]");
    }
    ids.push_back(id);
    at = end;
  }
  return ids;
}

Json one_turn(const std::string& system, const std::string& user) {
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", user}});
  return messages;
}

void check_messages(const Json& messages, std::string_view origin) {
  if (!messages.is_array()) {
    throw Error(ErrorKind::kInput, "messages are not an array", origin,
                R"(write [{"role": "user", "content": "..."}])");
  }
  if (messages.empty()) throw Error(ErrorKind::kUsage, "the prompt is empty: no messages", origin);
  for (size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    if (message.is_object() && message.contains("role") && message["role"].is_string()) continue;
    throw Error(ErrorKind::kInput, fmt::format("message {} has no role", i), origin,
                R"(write {"role": "user", "content": "..."})");
  }
}

Json checked_tools(const Json& tools, std::string_view origin) {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorKind::kInput, what, origin,
                R"(write [{"type": "function", "function": {"name": "...", ...}}])");
  };
  if (!tools.is_array()) fail("tools are not an array");
  Json checked = tools;
  for (size_t i = 0; i < checked.size(); ++i) {
    Json& tool = checked[i];
    const std::string which = fmt::format("tool {} ", i);
    if (!tool.is_object()) fail(which + "is not an object");
    if (tool.value("type", Json("function")) != "function") fail(which + "is not a function");
    if (!tool.contains("function") || !tool["function"].is_object())
      fail(which + "has no function");
    Json& function = tool["function"];
    if (!function.contains("name") || !function["name"].is_string()) fail(which + "has no name");
    if (!function.contains("parameters")) continue;
    Json& parameters = function["parameters"];
    if (parameters.is_object() && !parameters.empty() && !parameters.contains("type")) {
      parameters["type"] = "object";
    }
  }
  return checked;
}

void check_fits(const Prompt& prompt, int64_t wanted, const ModelConfig& config) {
  const int64_t limit = config.text.max_position_embeddings;
  const int64_t context = wanted > 0 ? std::min(wanted, limit) : limit;
  const auto length = static_cast<int64_t>(prompt.ids.size());
  if (length <= context) return;
  throw Error(ErrorKind::kInput, "the prompt does not fit the context",
              fmt::format("{} tokens, context {}", length, context),
              context == limit ? "this is the model's limit: shorten the prompt"
                               : "shorten the prompt or raise --context");
}

GenerationRequest request_for(const Prompt& prompt, const PromptTools& model) {
  GenerationRequest request;
  request.prompt = prompt.ids;
  request.stop_ids = stop_ids(model, prompt.chat);
  request.parse_output = prompt.chat;
  request.parser = prompt.parser;
  return request;
}

}  // namespace gemma4
