#include <algorithm>

#include "lib/io/checkpoint.h"
#include "lib/io/share_files.h"
#include "lib/runtime/engine.h"

namespace gemma4 {
namespace {

Json read_optional(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json_file(path, ErrorKind::kModel) : Json::object();
}

}  // namespace

PromptTools load_prompt_tools(const std::filesystem::path& directory,
                              const std::filesystem::path& chat_template_file) {
  PromptTools tools;
  tools.config = parse_model_config(read_json_file(directory / "config.json", ErrorKind::kModel),
                                    read_optional(directory / "generation_config.json"));
  tools.media = read_media_settings(tools.config, directory);
  if (!Tokenizer::present(directory)) return tools;
  tools.tokenizer = Tokenizer::load(directory);
  if (tools.tokenizer->vocab_size() > tools.config.text.vocab_size) {
    throw Error(ErrorKind::kModel, "the tokenizer has more ids than the model",
                (directory / "tokenizer.json").string(),
                "the checkpoint's files do not belong together");
  }
  if (!chat_template_file.empty()) {
    tools.chat_template_origin = chat_template_file.string();
    tools.chat_template = ChatTemplate::compile(read_file(chat_template_file, ErrorKind::kInput),
                                                tools.chat_template_origin);
    return tools;
  }
  tools.chat_template_origin = "chat_template.jinja";
  tools.chat_template = ChatTemplate::load(directory);
  if (tools.chat_template == nullptr && tools.tokenizer->control_id("<|turn>")) {
    // The two families' templates differ in what they print when thinking is off.
    const bool small = tools.config.text.per_layer_width > 0;
    tools.chat_template_origin = small ? "gemma4-small.jinja" : "gemma4-large.jinja";
    const std::filesystem::path file =
        share_file(std::filesystem::path("chat_templates") / tools.chat_template_origin);
    tools.chat_template =
        ChatTemplate::compile(read_file(file, ErrorKind::kInternal), file.string());
  }
  return tools;
}

std::vector<TokenId> stop_ids(const PromptTools& tools, bool chat) {
  std::vector<TokenId> ids = tools.config.stop_ids;
  if (chat && tools.tokenizer != nullptr) {
    const auto response = tools.tokenizer->control_id("<|tool_response>");
    if (response && std::find(ids.begin(), ids.end(), *response) == ids.end()) {
      ids.push_back(*response);
    }
  }
  return ids;
}

}  // namespace gemma4
