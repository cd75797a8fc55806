#include "tools/flags.h"

#include <cstdlib>
#include <random>
#include <string>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/model_location.h"
#include "lib/io/share_files.h"
#include "lib/runtime/draft_source.h"
#include "tools/command_line.h"

namespace gemma4 {

const char* const kExitCodesHelp =
    "Exit codes: 0 done, 1 internal failure, 2 usage, 3 model, 4 input, 5 memory, device or disk,\n"
    "6 answer unusable, 130 interrupted, 143 terminated.";

namespace {

CLI::Validator draft_tokens_value() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        return text == "auto" ? "" : count_between(1, kMaxDraftTokens)(text);
      },
      "");
}

}  // namespace

void ModelFlags::add_to(CLI::App& app) {
  const char* group = "Model";
  add_value(app, "-m,--model", model, "MODEL",
            "directory, Hub id org/name[@revision] in the local cache,\n"
            "or e2b e4b 12b 26b-a4b 31b; default: $GEMMA4_MODEL")
      ->group(group);
  add_value(app, "--device", device, "auto|cpu|cuda[:N]|reference",
            "where to compute; auto: the GPU that the model fits,\nelse the CPU")
      ->check(CLI::Validator(
          [](std::string& text) {
            const bool known = text == "auto" || text == "cpu" || text == "reference" ||
                               text == "cuda" || text.starts_with("cuda:");
            return known ? "" : "--device: use auto, cpu, cuda, cuda:N or reference";
          },
          ""))
      ->group(group);
  add_value(app, "--tensor-parallel", tensor_parallel, "N", "GPUs that share the model; only 1 yet")
      ->transform(count_between(1, 64))
      ->group(group);
  add_value(app, "-t,--threads", threads, "N", "default: physical cores")
      ->transform(count_between(1, 4096))
      ->group(group);
  add_value(app, "-c,--context", context, "N",
            "most tokens of prompt and answer (8k = 8192);\ndefault: the model's limit")
      ->transform(count_between(1, int64_t{1} << 31))
      ->group(group);
  add_value(app, "--weights", weights, "stored|bf16|int8|int4",
            "linears as the checkpoint has them, or converted\nwhile loading")
      ->check(CLI::IsMember({"stored", "bf16", "int8", "int4"}))
      ->group(group);
  add_value(app, "--lm-head", lm_head, "stored|bf16|int8|int4", "the same for the output head")
      ->check(CLI::IsMember({"stored", "bf16", "int8", "int4"}))
      ->group(group);
  add_switch(
      app, "--cache-weights", cache_weights,
      "keep what --weights or --lm-head make of the checkpoint\nin a file beside it, for the "
      "next start")
      ->group(group);
  add_value(app, "--kv-cache-dtype", kv_cache_dtype, "bf16|int8|fp8|f32",
            "keys and values are kept as; fp8 with the checkpoint's\nscales, or 1")
      ->check(CLI::IsMember({"bf16", "int8", "fp8", "f32"}))
      ->group(group);
  add_switch(app, "--exact-activations", exact_activations, "never round activations for speed")
      ->group(group);
  add_value(
      app, "--draft", draft, "off|auto|MODEL|ngram",
      "draft tokens and verify several at a time: with an assistant\nmodel (auto: the model's "
      "own, if it is there) or by looking\nthem up in the text so far; answers stay the same")
      ->group(group);
  add_value(app, "--draft-tokens", draft_tokens, "N|auto",
            "tokens to draft at a time, 1 to 8; default auto: as many\nas pay")
      ->check(draft_tokens_value())
      ->group(group);
  add_list(app, "--model-option", model_options, "KEY=VALUE",
           "for research: details on which implementations differ,\n"
           "image_mask_rule=sliding|all_layers|all_layers_unbounded,\naudio_left_keys=N,\n"
           "mtp_query_offset=-1|0, diffusion_sliding_context=N\n(repeatable)")
      ->group(group);
  add_switch(app, "--plan", plan, "print the memory plan and exit; with --json: in bytes")
      ->group(group);
}

std::string ModelFlags::name() const {
  if (!model.empty()) return model;
  const char* from_environment = std::getenv("GEMMA4_MODEL");
  return from_environment == nullptr ? "" : from_environment;
}

EngineOptions ModelFlags::engine_options() const {
  EngineOptions options;
  if (tensor_parallel > 1) {
    throw Error(ErrorKind::kUsage, "a model runs on one GPU",
                "--tensor-parallel " + std::to_string(tensor_parallel),
                "several are planned for, but not built yet");
  }
  options.device = device;
  options.threads = threads;
  options.context = context;
  options.weights = {weight_format_from_name(weights), weight_format_from_name(lm_head)};
  options.cache_weights = cache_weights;
  if (cache_weights && weights != "int8" && weights != "int4" && lm_head != "int8" &&
      lm_head != "int4") {
    throw Error(ErrorKind::kUsage, "--cache-weights keeps what --weights or --lm-head quantise", {},
                "give one of them int8 or int4");
  }
  options.kv_cache_dtype = kv_cache_dtype == "f32"    ? Dtype::kF32
                           : kv_cache_dtype == "int8" ? Dtype::kI8
                           : kv_cache_dtype == "fp8"  ? Dtype::kF8E4M3
                                                      : Dtype::kBf16;
  options.exact_activations = exact_activations;
  options.draft = draft_options();
  for (const std::string& option : model_options) {
    set_model_option(options.model_options, option);
    if (option.starts_with("mtp_") && options.draft.kind != DraftOptions::Kind::kModel) {
      throw Error(ErrorKind::kUsage, "needs a draft model", "--model-option " + option,
                  "add --draft MODEL");
    }
  }
  return options;
}

DraftOptions ModelFlags::draft_options() const {
  DraftOptions options;
  if (draft == "off") {
    if (draft_tokens.empty()) return options;
    throw Error(ErrorKind::kUsage, "--draft-tokens needs --draft", {}, "add --draft auto");
  }
  if (!draft_tokens.empty() && draft_tokens != "auto") options.tokens = std::stoll(draft_tokens);
  if (draft == "ngram") {
    options.kind = DraftOptions::Kind::kNgram;
    return options;
  }
  if (draft != "auto") {
    options.directory = locate_model(draft, {share_dirs(), false});
  } else if (const auto found = locate_assistant(name(), share_dirs())) {
    options.directory = *found;
  } else {
    log_warning("no assistant of " + name() + " is there: decoding without drafts");
    return options;
  }
  log_info("draft model: " + options.directory.string());
  options.kind = DraftOptions::Kind::kModel;
  return options;
}

void SamplingFlags::add_to(CLI::App& app) {
  const char* group = "Sampling (defaults: the checkpoint's generation_config.json)";
  add_value(app, "-n,--max-tokens", max_tokens, "N",
            "most tokens of the answer; default: what the context holds")
      ->transform(count_between(0, int64_t{1} << 31))
      ->group(group);
  add_value(app, "--temperature,--temp", temperature, "X", "0: always the likeliest token")
      ->check(number_between(0, 100))
      ->group(group);
  add_value(app, "--top-k", top_k, "N", "draw from the N likeliest tokens; 0: off")
      ->transform(count_between(0, INT32_MAX))
      ->group(group);
  add_value(app, "--top-p", top_p, "X", "draw from the likeliest tokens that sum to X; 1: off")
      ->check(number_between(0, 1))
      ->group(group);
  add_value(app, "--min-p", min_p, "X", "drop tokens below X times the likeliest; 0: off")
      ->check(number_between(0, 1))
      ->group(group);
  add_value(app, "--repetition-penalty", repetition_penalty, "X",
            "divide logits of tokens seen before; 1: off")
      ->check(number_between(0.01, 100))
      ->group(group);
  add_value(app, "--presence-penalty", presence_penalty, "X",
            "subtract once from tokens in the answer; 0: off")
      ->check(number_between(-100, 100))
      ->group(group);
  add_value(app, "--frequency-penalty", frequency_penalty, "X",
            "subtract per occurrence in the answer; 0: off")
      ->check(number_between(-100, 100))
      ->group(group);
  add_value(app, "--seed", seed, "N", "same seed, same answer; default: random, told in the JSON")
      ->transform(count_between(0, INT64_MAX))
      ->group(group);
  add_list(app, "--stop", stop, "TEXT", "end the answer before TEXT (repeatable)")
      ->check(CLI::Validator(
          [](std::string& text) { return text.empty() ? "--stop: the text is empty" : ""; }, ""))
      ->group(group);
}

SamplingParams SamplingFlags::params(const GenerationDefaults& defaults) const {
  SamplingParams params;
  params.temperature = temperature.value_or(defaults.temperature);
  params.top_k = top_k.value_or(defaults.top_k);
  params.top_p = top_p.value_or(defaults.top_p);
  params.min_p = min_p.value_or(params.min_p);
  params.repetition_penalty = repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = frequency_penalty.value_or(params.frequency_penalty);
  return params;
}

uint64_t random_seed() {
  std::random_device device;
  const uint64_t high = device();
  return ((high << 32) | device()) >> 11;  // 53 bits
}

void ThinkingFlags::add_to(CLI::App& app) {
  add_switch(app, "--think", think, "let the model reason before it answers")->group("Thinking");
  add_value(app, "--thinking", display, "hide|show|stderr",
            "what to do with the reasoning; default: show it dimmed\non a terminal, else hide")
      ->check(CLI::IsMember({"hide", "show", "stderr"}))
      ->group("Thinking");
}

void OutputFlags::add_to(CLI::App& app) {
  const char* group = "Output";
  add_value(app, "-o,--output", output, "FILE", "write there instead; the file appears when whole")
      ->group(group);
  add_switch(app, "-q,--quiet", quiet, "no warnings, no progress")->group(group);
  add_switch(app, "-v,--verbose", verbose, "say on stderr what is used")->group(group);
  add_switch(app, "--stats", stats, "times and memory on stderr")->group(group);
  add_value(app, "--color", color, "auto|always|never",
            "default auto: on a terminal, unless NO_COLOR")
      ->check(CLI::IsMember({"auto", "always", "never"}))
      ->group(group);
}

void OutputFlags::apply() const {
  if (quiet && verbose) throw Error(ErrorKind::kUsage, "--quiet and --verbose exclude each other");
  if (quiet) set_log_level(LogLevel::kQuiet);
  if (verbose) set_log_level(LogLevel::kInfo);
}

}  // namespace gemma4
