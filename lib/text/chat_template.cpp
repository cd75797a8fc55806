#include "lib/text/chat_template.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "lib/text/chat_messages.h"
#include "lib/text/jinja/template.h"

namespace gemma4 {
namespace {

constexpr std::string_view kChannelOpener = "<|channel>";
/// What ends an open channel, or a turn with one.
constexpr std::array<std::string_view, 5> kChannelClosers = {
    "<channel|>", "<|tool_call>", "<|tool_response>", "<tool_response|>", "<|turn>"};

struct Placeholder {
  std::string_view spelling;
  MediaSlot::Kind kind;
};
constexpr std::array<Placeholder, 3> kPlaceholders = {{
    {"<|image|>", MediaSlot::Kind::kImage},
    {"<|audio|>", MediaSlot::Kind::kAudio},
    {"<|video|>", MediaSlot::Kind::kVideo},
}};

/// Spec 5.2: scanning backwards, the opener comes before any closer.
bool ends_in_channel(const std::vector<TokenId>& ids, const Tokenizer& tokenizer) {
  const std::optional<TokenId> opener = tokenizer.control_id(kChannelOpener);
  std::vector<TokenId> closers;
  for (const std::string_view closer : kChannelClosers) {
    if (const auto id = tokenizer.control_id(closer)) closers.push_back(*id);
  }
  for (auto id = ids.rbegin(); id != ids.rend(); ++id) {
    if (opener && *id == *opener) return true;
    if (std::find(closers.begin(), closers.end(), *id) != closers.end()) return false;
  }
  return false;
}

/// The same on the characters that the template wrote.
bool ends_in_channel(const std::vector<TextSpan>& spans) {
  for (auto span = spans.rbegin(); span != spans.rend(); ++span) {
    if (!span->trusted) continue;
    const size_t opener = span->text.rfind(kChannelOpener);
    size_t closer = std::string::npos;
    for (const std::string_view spelling : kChannelClosers) {
      const size_t found = span->text.rfind(spelling);
      if (found != std::string::npos && (closer == std::string::npos || found > closer)) {
        closer = found;
      }
    }
    if (opener == std::string::npos && closer == std::string::npos) continue;
    return opener != std::string::npos && (closer == std::string::npos || opener > closer);
  }
  return false;
}

std::vector<MediaSlot> find_media(const std::vector<TokenId>& ids, const Tokenizer& tokenizer) {
  std::vector<std::pair<TokenId, MediaSlot::Kind>> kinds;
  for (const Placeholder& placeholder : kPlaceholders) {
    if (const auto id = tokenizer.control_id(placeholder.spelling)) {
      kinds.emplace_back(*id, placeholder.kind);
    }
  }
  std::vector<MediaSlot> slots;
  for (size_t i = 0; i < ids.size(); ++i) {
    for (const auto& [id, kind] : kinds) {
      if (ids[i] == id) slots.push_back({kind, i});
    }
  }
  return slots;
}

/// A control token in tokenizer_config.json: its spelling, or an object with it as `content`.
std::string token_spelling(const Json& config, const char* name, std::string_view fallback) {
  auto found = config.find(name);
  if (found == config.end()) return std::string(fallback);
  const Json* value = &*found;
  if (value->is_object() && value->contains("content")) value = &(*value)["content"];
  return value->is_string() ? value->get<std::string>() : std::string(fallback);
}

/// The template in tokenizer_config.json: a string, or a list of named ones.
std::optional<std::string> template_in(const Json& config) {
  const auto found = config.find("chat_template");
  if (found == config.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (!found->is_array()) return std::nullopt;
  for (const Json& entry : *found) {
    if (!entry.is_object() || entry.value("name", Json()) != "default") continue;
    const Json source = entry.value("template", Json());
    if (source.is_string()) return source.get<std::string>();
  }
  return std::nullopt;
}

}  // namespace

struct ChatTemplate::Impl {
  jinja::Template program;
  // How the checkpoint spells the tokens that templates name.
  std::string bos = "<bos>";
  std::string eos = "<eos>";
  std::string pad = "<pad>";
  std::string unk = "<unk>";
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

std::unique_ptr<ChatTemplate> ChatTemplate::compile(std::string_view source,
                                                    std::string_view origin) {
  auto impl = std::make_unique<Impl>(Impl{jinja::Template::compile(source, origin)});
  return std::unique_ptr<ChatTemplate>(new ChatTemplate(std::move(impl)));
}

std::unique_ptr<ChatTemplate> ChatTemplate::load(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / "chat_template.jinja";
  const std::filesystem::path config_file = directory / "tokenizer_config.json";
  Json config = Json::object();
  if (std::filesystem::exists(config_file)) {
    config = read_json_file(config_file, ErrorKind::kModel);
    if (!config.is_object()) {
      throw Error(ErrorKind::kModel, "must be a JSON object", config_file.string());
    }
  }
  std::unique_ptr<ChatTemplate> result;
  if (std::filesystem::exists(file)) {
    result = compile(read_file(file, ErrorKind::kModel), file.string());
  } else if (const auto source = template_in(config)) {
    result = compile(*source, config_file.string() + " (chat_template)");
  } else {
    return nullptr;
  }
  Impl& impl = *result->impl_;
  impl.bos = token_spelling(config, "bos_token", impl.bos);
  impl.eos = token_spelling(config, "eos_token", impl.eos);
  impl.pad = token_spelling(config, "pad_token", impl.pad);
  impl.unk = token_spelling(config, "unk_token", impl.unk);
  return result;
}

RenderedPrompt ChatTemplate::render(const Json& messages, const Json& tools,
                                    const ChatOptions& options, const Tokenizer* tokenizer) const {
  check_tools(tools);
  const jinja::Text output = impl_->program.render({
      {"messages", prepare_messages(messages), false},
      {"tools", tools, false},
      {"documents", nullptr, false},
      {"add_generation_prompt", options.add_generation_prompt, false},
      {"enable_thinking", options.enable_thinking, false},
      {"preserve_thinking", options.preserve_thinking, false},
      {"bos_token", impl_->bos, true},
      {"eos_token", impl_->eos, true},
      {"pad_token", impl_->pad, true},
      {"unk_token", impl_->unk, true},
  });
  RenderedPrompt prompt;
  prompt.text = output.view();
  if (!options.parse_special) {
    prompt.spans = jinja::to_spans(output);
  } else if (!prompt.text.empty()) {
    prompt.spans = {{prompt.text, true}};
  }
  if (tokenizer == nullptr) {
    prompt.in_reasoning = ends_in_channel(prompt.spans);
    return prompt;
  }
  prompt.ids = tokenizer->encode(std::span<const TextSpan>(prompt.spans));
  prompt.media = find_media(prompt.ids, *tokenizer);
  prompt.in_reasoning = ends_in_channel(prompt.ids, *tokenizer);
  return prompt;
}

}  // namespace gemma4
