#include "tools/prompt.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "lib/base/error.h"
#include "lib/runtime/media_prompt.h"

namespace gemma4 {

namespace {

const Tokenizer& require_tokenizer(const PromptTools& model) {
  if (model.tokenizer != nullptr) return *model.tokenizer;
  throw Error(ErrorKind::kModel, "the checkpoint has no tokenizer.json", {},
              "add the file, or give the prompt as ids with --tokens");
}

// Gives the files of the command line to places that name none; all must find one.
std::vector<PreparedMedia> prepare_all(std::vector<MediaReference> references, PromptMedia& media) {
  std::vector<MediaReference> files = media.files;
  std::vector<PreparedMedia> prepared;
  for (MediaReference& reference : references) {
    if (reference.value.empty()) {
      const auto file = std::find_if(files.begin(), files.end(), [&](const MediaReference& one) {
        return one.kind == reference.kind;
      });
      if (file == files.end()) {
        throw Error(ErrorKind::kInput, "the part names no file", reference.place,
                    "name one, or give it with --" + std::string(media_kind_name(reference.kind)));
      }
      reference.value = file->value;
      files.erase(file);
    }
    prepared.push_back(media.loader.load(reference));
  }
  if (!files.empty()) {
    throw Error(ErrorKind::kUsage, "the messages have no place for the file", files[0].value,
                R"(write a part {"type": "image"} where it belongs)");
  }
  return prepared;
}

Json describe_media(std::span<const PreparedMedia> prepared) {
  Json list = Json::array();
  for (const PreparedMedia& media : prepared) {
    Json entry = {{"kind", media_kind_name(media.kind)},
                  {"file", media.name},
                  {"tokens", media.soft_tokens()}};
    if (media.width > 0) entry["width"] = media.width;
    if (media.height > 0) entry["height"] = media.height;
    if (media.kind != MediaKind::kImage)
      entry["seconds"] = std::round(media.seconds * 1000.0) / 1000.0;
    if (media.kind == MediaKind::kAudio) entry["clips"] = media.inputs.size();
    if (media.kind == MediaKind::kVideo) entry["timestamps"] = media.timestamps;
    list.push_back(std::move(entry));
  }
  return list;
}

void place_media(const PromptTools& model, std::span<const TokenId> ids,
                 std::span<const MediaPlace> places, std::span<const PreparedMedia> prepared,
                 Prompt& prompt) {
  MediaPrompt expanded = expand_media(model, ids, places, prepared);
  prompt.ids = std::move(expanded.ids);
  prompt.media = std::move(expanded.spans);
  prompt.media_list = describe_media(prepared);
}

}  // namespace

Prompt chat_prompt(const PromptTools& model, const Json& messages, const Json& tools, bool thinking,
                   PromptMedia* media) {
  require_tokenizer(model);
  if (model.chat_template == nullptr) {
    throw Error(ErrorKind::kUsage, "the model has no chat template", {},
                "use --raw, or give one with --chat-template");
  }
  ChatOptions options;
  options.enable_thinking = thinking;
  MediaLoader default_loader(model.media, {});
  PromptMedia no_files{default_loader};
  PromptMedia& used = media != nullptr ? *media : no_files;
  const MediaMessages found = extract_media(messages, used.video_audio);
  RenderedPrompt rendered =
      model.chat_template->render(found.messages, tools, options, model.tokenizer.get());
  Prompt prompt;
  place_media(model, rendered.ids, media_places(rendered), prepare_all(found.media, used), prompt);
  prompt.text = std::move(rendered.text);
  prompt.chat = true;
  prompt.parser = {thinking, rendered.in_reasoning, tools};
  return prompt;
}

Prompt raw_prompt(const PromptTools& model, const Json& content, PromptMedia* media) {
  const Tokenizer& tokenizer = require_tokenizer(model);
  Prompt prompt;
  std::vector<TokenId> ids;
  if (tokenizer.adds_bos() || model.config.bos_id >= 0) {
    ids.push_back(model.config.bos_id);
    prompt.text = tokenizer.token_bytes(model.config.bos_id);
  }
  const auto add_text = [&](const std::string& text) {
    const std::vector<TokenId> more = tokenizer.encode(text, false);
    ids.insert(ids.end(), more.begin(), more.end());
    prompt.text += text;
  };
  if (content.is_string() || media == nullptr) {
    add_text(content.get<std::string>());
    prompt.ids = std::move(ids);
    return prompt;
  }
  const MediaMessages found =
      extract_media(Json::array({{{"content", content}}}), media->video_audio);
  std::vector<MediaPlace> places;
  for (const Json& part : found.messages[0]["content"]) {
    if (part["type"] == "text") {
      add_text(part["text"].get<std::string>());
    } else {
      places.push_back({found.media[places.size()].kind, ids.size(), false});
    }
  }
  place_media(model, ids, places, prepare_all(found.media, *media), prompt);
  return prompt;
}

Prompt token_prompt(const PromptTools& model, std::vector<TokenId> ids, PromptMedia* media) {
  const int32_t vocab_size = model.config.text.vocab_size;
  for (const TokenId id : ids) {
    if (id >= 0 && id < vocab_size) continue;
    throw Error(ErrorKind::kInput, "token id is out of range", std::to_string(id),
                fmt::format("ids are 0 to {}", vocab_size - 1));
  }
  Prompt prompt;
  std::vector<MediaAttachment> attachments;
  if (media != nullptr) {
    for (const MediaReference& file : media->files) attachments.push_back(media->loader.open(file));
  }
  MediaPrompt filled = fill_media(model, std::move(ids), attachments,
                                  media != nullptr ? media->loader.options() : MediaOptions());
  prompt.ids = std::move(filled.ids);
  prompt.media = std::move(filled.spans);
  prompt.media_list = describe_media(filled.media);
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

Json one_turn(const std::string& system, const Json& user) {
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

MediaNeeds media_needs(std::span<const MediaSpan> media) {
  MediaNeeds needs;
  for (const MediaSpan& span : media) needs.include(*span.input);
  return needs;
}

GenerationRequest request_for(const Prompt& prompt, const PromptTools& model) {
  GenerationRequest request;
  request.prompt = prompt.ids;
  request.media = prompt.media;
  request.stop_ids = stop_ids(model, prompt.chat);
  request.parse_output = prompt.chat;
  request.parser = prompt.parser;
  return request;
}

}  // namespace gemma4
