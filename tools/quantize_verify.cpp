#include "tools/quantize_verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "lib/base/error.h"
#include "tools/model_loading.h"
#include "tools/prompt.h"
#include "tools/verify_text.h"

namespace gemma4 {
namespace {

constexpr size_t kWindow = 1024;  // positions that are scored as one text
constexpr int64_t kMadeUpIds = 256;

// "layer 3" of "model.language_model.layers.3.mlp.up_proj"; a module outside the layers as it is.
std::string part_of(const std::string& module) {
  const std::string key = ".layers.";
  const size_t at = module.find(key);
  if (at == std::string::npos) return module;
  const size_t begin = at + key.size();
  return "layer " + module.substr(begin, module.find('.', begin) - begin);
}

void measure_weights(const QuantizeReport& report, Verification& out) {
  struct Sums {
    double errors = 0.0;
    double squares = 0.0;
    double relative() const { return squares > 0.0 ? std::sqrt(errors / squares) : 0.0; }
  };
  // Keyed so that layers come first, in the order of their numbers.
  std::map<std::pair<int, std::string>, Sums> parts;
  Sums all;
  for (const QuantizedModule& module : report.modules) {
    const std::string part = part_of(module.name);
    const int order = part.starts_with("layer ") ? std::atoi(part.c_str() + 6) : INT_MAX;
    const double errors = module.relative_error * module.relative_error * module.squares;
    for (Sums* sums : {&parts[{order, part}], &all}) {
      sums->errors += errors;
      sums->squares += module.squares;
    }
  }
  for (const auto& [key, sums] : parts) out.parts.push_back({key.second, sums.relative()});
  out.relative_error = all.relative();
}

std::vector<TokenId> made_up_ids(const ModelConfig& config) {
  std::vector<TokenId> ids = {config.bos_id};
  uint32_t state = 1;
  while (static_cast<int64_t>(ids.size()) < kMadeUpIds) {
    state = state * 1664525u + 1013904223u;
    ids.push_back(
        static_cast<TokenId>((state >> 8) % static_cast<uint32_t>(config.text.vocab_size)));
  }
  return ids;
}

// Windows of the text, each of which begins with BOS where the model's prompts do.
std::vector<std::vector<TokenId>> windows_of(const PromptTools& tools, const std::string& text) {
  const bool words = tools.tokenizer != nullptr;
  Prompt prompt;
  if (words) {
    prompt = raw_prompt(tools, text.empty() ? kVerifyText : text);
  } else {
    prompt = token_prompt(
        tools, text.empty() ? made_up_ids(tools.config) : parse_token_ids(text, "--verify"));
  }
  if (prompt.ids.empty()) throw Error(ErrorKind::kInput, "the text is empty", "--verify");
  const size_t limit =
      std::min(kWindow, static_cast<size_t>(tools.config.text.max_position_embeddings));
  const bool bos = words && prompt.ids.front() == tools.config.bos_id && limit > 1;
  std::vector<std::vector<TokenId>> windows;
  for (const TokenId id : prompt.ids) {
    if (windows.empty() || windows.back().size() == limit) {
      windows.emplace_back();
      if (bos && windows.size() > 1) windows.back().push_back(tools.config.bos_id);
    }
    windows.back().push_back(id);
  }
  return windows;
}

}  // namespace

Verification verify_quantized(const std::filesystem::path& source,
                              const std::filesystem::path& written, const QuantizeReport& report,
                              const std::string& text, int threads,
                              const std::function<void(int64_t, int64_t)>& progress) {
  Verification out;
  measure_weights(report, out);
  const auto windows = windows_of(load_prompt_tools(source), text);
  EngineOptions options;
  options.threads = threads;
  options.exact_activations = true;
  options.kv_cache_dtype = Dtype::kF32;
  options.context = static_cast<int64_t>(windows.front().size());
  options.max_chunk = std::min<int64_t>(256, options.context);
  const auto loader = [&](const std::filesystem::path& directory) {
    return [&] {
      options.directory = directory;
      return load_engine(options, options.context, false);
    };
  };
  out.logits = compare_logits(loader(source), loader(written), windows,
                              std::filesystem::absolute(written).parent_path(), progress);
  return out;
}

Json verification_json(const Verification& v) {
  const auto number = [](double x) { return std::isfinite(x) ? Json(x) : Json(nullptr); };
  Json layers = Json::array();
  for (const PartError& part : v.parts) {
    layers.push_back({{"part", part.part}, {"relative_error", number(part.relative_error)}});
  }
  return {{"relative_error", number(v.relative_error)},
          {"layers", layers},
          {"positions", v.logits.positions},
          {"kl",
           {{"mean", number(v.logits.mean_kl)},
            {"median", number(v.logits.median_kl)},
            {"p99", number(v.logits.p99_kl)},
            {"max", number(v.logits.largest_kl)}}},
          {"top1_agreement", number(v.logits.same_top)}};
}

std::string verification_table(const Verification& v) {
  size_t width = 13;
  for (const PartError& part : v.parts) width = std::max(width, part.part.size());
  std::string text = fmt::format("{:<{}}  weight error\n", "part", width);
  for (const PartError& part : v.parts) {
    text += fmt::format("{:<{}}  {:12.5f}\n", part.part, width, part.relative_error);
  }
  text += fmt::format("{:<{}}  {:12.5f}\n", "all", width, v.relative_error);
  text += fmt::format(
      "KL divergence over {} positions: mean {:.6f}, median {:.6f}, p99 {:.6f}, max {:.6f}\n"
      "same likeliest token: {:.2f} %\n",
      v.logits.positions, v.logits.mean_kl, v.logits.median_kl, v.logits.p99_kl,
      v.logits.largest_kl, 100.0 * v.logits.same_top);
  return text;
}

}  // namespace gemma4
