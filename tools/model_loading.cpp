#include "tools/model_loading.h"

#include <fmt/format.h>

#include <algorithm>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/json.h"
#include "lib/io/model_location.h"
#include "lib/io/share_files.h"
#include "tools/progress.h"

namespace gemma4 {

std::filesystem::path find_model(const ModelFlags& flags, bool needs_tokenizer) {
  std::filesystem::path directory = locate_model(flags.model, {share_dirs(), needs_tokenizer});
  log_info("model: " + directory.string());
  return directory;
}

int64_t planned_positions(int64_t prompt, int64_t max_tokens) {
  return prompt + (max_tokens >= 0 ? max_tokens : kPlannedAnswer);
}

void print_plan(const MemoryPlan& plan, bool json, Output& output) {
  const std::pair<const char*, uint64_t> rows[] = {
      {"weights", plan.weights},    {"kv_full", plan.kv_full}, {"kv_ring", plan.kv_ring},
      {"scratch", plan.scratch},    {"media", plan.media},     {"total", plan.total()},
      {"available", plan.available}};
  if (json) {
    Json object;
    for (const auto& [name, bytes] : rows) object[name] = bytes;
    output.write(object.dump() + "\n");
    return;
  }
  std::string text;
  for (const auto& [name, bytes] : rows) {
    text += fmt::format("{:<10} {:>12.1f} MiB\n", name, static_cast<double>(bytes) / (1 << 20));
  }
  output.write(text);
}

std::unique_ptr<Engine> load_engine(const EngineOptions& options, int64_t positions,
                                    bool show_progress) {
  require_memory(plan_memory(options, positions));
  Progress progress("loading the model", show_progress);
  auto engine =
      Engine::load(options, [&](int64_t done, int64_t total) { progress.update(done, total); });
  log_info(fmt::format("device: {}, context: {}", engine->device(), engine->context()));
  return engine;
}

}  // namespace gemma4
