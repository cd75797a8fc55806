#include "tools/run_flags.h"

#include "lib/base/error.h"
#include "tools/command_line.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(The prompt is what is piped in, then the files, then the words, with a blank line between.
"-" names standard input; the last line break of a file is not part of the prompt.

Examples:
  gemma4 run "Why is the sky blue?"
  git diff --staged | gemma4 run -s "Write a commit message." | git commit -F -
  gemma4 run --image receipt.jpg --image-tokens 1120 "What did lunch cost?"
  gemma4 run --json-schema invoice.json -f mail.txt | jq .total
  gemma4 run --tools tools.json --exec-tools bin --yes "Will I need an umbrella in Oslo?"

)";

struct Pair {
  bool first;
  const char* first_name;
  bool second;
  const char* second_name;
};

}  // namespace

void RunFlags::add_to(CLI::App& app) {
  add_words(app, "PROMPT", words, "the prompt, in words");
  const char* group = "Prompt";
  add_value(app, "-p,--prompt", prompt, "TEXT", "the prompt, as one argument")->group(group);
  add_list(app, "-f,--file", files, "FILE", "text that goes before the prompt (repeatable)")
      ->group(group);
  add_value(app, "-s,--system", system, "TEXT|@FILE", "the system message")->group(group);
  add_value(app, "--messages", messages, "FILE",
            "a conversation: a JSON array of messages, or\n{\"messages\": [...], \"tools\": [...]}")
      ->group(group);
  tools.add_to(app, group);
  add_value(app, "--chat-template", chat_template, "FILE",
            "a Jinja file instead of the model's own")
      ->group(group);
  add_switch(app, "--raw", raw, "no chat template: the model continues the text")->group(group);
  add_value(app, "--tokens", tokens, "IDS|@FILE",
            "the prompt as token ids, \"2,105\"; implies --raw")
      ->group(group);
  add_value(
      app, "--batch", batch, "FILE",
      "one JSON request a line: \"id\", \"prompt\" or \"messages\"\nor \"tokens\", \"system\", "
      "\"tools\", \"max_tokens\",\n\"temperature\", \"seed\", \"json_schema\",\n\"image\", "
      "\"audio\", \"video\"; one JSON answer a "
      "line, in order")
      ->group(group);
  add_switch(app, "--print-prompt", print_prompt, "print the rendered prompt and its ids, and exit")
      ->group(group);
  media.add_to(app, true);
  thinking.add_to(app);
  output.add_to(app);
  add_switch(app, "--json", json,
             "one JSON object: text, reasoning, tool_calls,\nusage, timings ...")
      ->group("Output");
  add_switch(app, "--jsonl", jsonl, "JSON events, one a line, as they happen")->group("Output");
  add_switch(app, "--show-denoising", show_denoising,
             "diffusion models: show every block as it settles,\non a terminal")
      ->group("Output");
  add_switch(app, "-x,--extract", extract, "only the first fenced block of the answer")
      ->group("Output");
  add_value(app, "--logprobs", logprobs, "N",
            "with JSON: log probabilities of the answer,\nand the "
            "N best at each place")
      ->transform(count_between(0, 1024))
      ->group("Output");
  add_value(app, "--prompt-logprobs", prompt_logprobs, "N", "the same for the prompt's tokens")
      ->transform(count_between(0, 1024))
      ->group("Output");
  format.add_to(app);
  sampling.add_to(app);
  add_switch(app, "--ignore-eos", ignore_eos, "go on after the model has ended its answer")
      ->group("Sampling (defaults: the checkpoint's generation_config.json)");
  model.add_to(app);
  app.footer(std::string(kExamples) + kExitCodesHelp);
}

void RunFlags::check() const {
  format.check();
  const bool by_words = !words.empty() || prompt.has_value();
  const bool any_json = json || jsonl;
  const bool no_template = raw || !tokens.empty();
  const Pair conflicts[] = {
      {!words.empty(), "PROMPT", prompt.has_value(), "--prompt"},
      {by_words, "a prompt", !messages.empty(), "--messages"},
      {by_words, "a prompt", !tokens.empty(), "--tokens"},
      {by_words, "a prompt", !batch.empty(), "--batch"},
      {!files.empty(), "--file", !messages.empty(), "--messages"},
      {!files.empty(), "--file", !tokens.empty(), "--tokens"},
      {!files.empty(), "--file", !batch.empty(), "--batch"},
      {!messages.empty(), "--messages", !tokens.empty(), "--tokens"},
      {!messages.empty(), "--messages", !batch.empty(), "--batch"},
      {!tokens.empty(), "--tokens", !batch.empty(), "--batch"},
      {!system.empty(), "--system", !messages.empty(), "--messages"},
      {!system.empty(), "--system", no_template, "--raw or --tokens"},
      {!messages.empty(), "--messages", no_template, "--raw"},
      {!tools.file.empty(), "--tools", no_template, "--raw or --tokens"},
      {thinking.think, "--think", no_template, "--raw or --tokens"},
      {!thinking.display.empty(), "--thinking", no_template, "--raw or --tokens"},
      {!chat_template.empty(), "--chat-template", no_template, "--raw or --tokens"},
      {format.any(), "a form of the answer", ignore_eos, "--ignore-eos"},
      {format.any(), "a form of the answer", extract, "--extract"},
      {format.any(), "a form of the answer", print_prompt, "--print-prompt"},
      {!tools.exec.empty(), "--exec-tools", !batch.empty(), "--batch"},
      {!tools.exec.empty(), "--exec-tools", print_prompt, "--print-prompt"},
      {!tools.exec.empty(), "--exec-tools", extract, "--extract"},
      {!tools.exec.empty(), "--exec-tools", format.any(), "a form of the answer"},
      {json, "--json", jsonl, "--jsonl"},
      {any_json, "--json or --jsonl", extract, "--extract"},
      {any_json, "--json or --jsonl", !thinking.display.empty(), "--thinking"},
      {any_json, "--json or --jsonl", !batch.empty(), "--batch, which writes JSON anyway,"},
      {extract, "--extract", !batch.empty(), "--batch"},
      {!thinking.display.empty(), "--thinking", !batch.empty(), "--batch"},
      {show_denoising, "--show-denoising", !batch.empty(), "--batch"},
      {show_denoising, "--show-denoising", print_prompt, "--print-prompt"},
      {show_denoising, "--show-denoising", model.plan, "--plan"},
      {show_denoising, "--show-denoising", output.quiet, "--quiet"},
      {print_prompt, "--print-prompt", !batch.empty(), "--batch"},
      {print_prompt, "--print-prompt", model.plan, "--plan"},
      {print_prompt || model.plan, "--print-prompt or --plan", jsonl, "--jsonl"},
      {print_prompt || model.plan, "--print-prompt or --plan", extract, "--extract"},
  };
  for (const Pair& pair : conflicts) {
    if (!pair.first || !pair.second) continue;
    throw Error(ErrorKind::kUsage,
                std::string(pair.first_name) + " and " + pair.second_name + " exclude each other",
                {}, "see gemma4 run --help");
  }
  if (!media.files().empty() && !batch.empty()) {
    throw Error(ErrorKind::kUsage, "--image, --audio and --video do not go with --batch", {},
                "name the files in the requests");
  }
  media.check(!messages.empty() || !batch.empty());
  if (!any_json && batch.empty() && (logprobs || prompt_logprobs)) {
    throw Error(ErrorKind::kUsage, "log probabilities are written as JSON only", {},
                "add --json or --jsonl");
  }
  tools.check(!messages.empty() || !batch.empty());
}

}  // namespace gemma4
