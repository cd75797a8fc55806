#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "lib/base/error.h"
#include "lib/io/checkpoint.h"
#include "lib/model/draft_model.h"
#include "lib/model/text_decoder.h"
#include "lib/runtime/block_runner.h"
#include "lib/runtime/device_choice.h"
#include "lib/runtime/engine.h"
#include "lib/runtime/kv_cache.h"
#include "lib/runtime/model_work.h"
#include "lib/runtime/step_rows.h"

namespace gemma4 {
namespace {

// MemAvailable, or what the control group leaves when that is less.
uint64_t available_memory() {
  uint64_t available = UINT64_MAX;
  std::ifstream meminfo("/proc/meminfo");
  std::string key;
  uint64_t kilobytes = 0;
  while (meminfo >> key >> kilobytes) {
    if (key == "MemAvailable:") available = kilobytes << 10;
    meminfo.ignore(256, '\n');
  }
  uint64_t limit = 0;
  uint64_t used = 0;
  std::ifstream max_file("/sys/fs/cgroup/memory.max");
  std::ifstream used_file("/sys/fs/cgroup/memory.current");
  if (max_file >> limit && used_file >> used && limit > used) {
    available = std::min(available, limit - used);
  }
  return available;
}

std::string gib(uint64_t bytes) {
  return fmt::format("{:.2f} GiB", static_cast<double>(bytes) / (1 << 30));
}

}  // namespace

MemoryPlan memory_on(const EngineOptions& options, std::string_view device, int64_t positions) {
  const ModelConfig config = read_model_shape(options);
  const int64_t limit = config.text.max_position_embeddings;
  const int64_t context = options.context > 0 ? std::min(options.context, limit) : limit;
  const int64_t block = config.text.bidirectional_vision ? options.media.image_tokens : 0;
  const int64_t chunk = std::max(std::min(prompt_chunk(options, device), context), block);
  positions = std::min(positions, context);
  const KvCacheBytes kv = kv_cache_bytes(
      config.text, options.kv_cache_dtype, positions * options.max_sequences, options.max_sequences,
      step_rows(config, chunk, options.max_sequences).one_sequence);
  MemoryPlan plan;
  plan.weights = options.dummy_preset.empty()
                     ? converted_bytes(Checkpoint::open(options.directory), config.text,
                                       options.weights, device.starts_with("cuda"))
                     : random_weight_bytes(config, options.weights);
  plan.kv_full = kv.full;
  plan.kv_ring = kv.ring;
  const int64_t rows = std::max(std::min(chunk, positions), block);
  plan.scratch =
      TextDecoder::scratch_bytes(config.text, step_rows(config, rows, options.max_sequences).all);
  if (config.diffusion) plan.scratch += BlockRunner::scratch_bytes(config, options.max_sequences);
  plan.media = media_bytes(config, options.media);
  if (options.draft.kind == DraftOptions::Kind::kModel) {
    const Checkpoint draft = Checkpoint::open(options.draft.directory);
    plan.weights += draft.total_bytes();
    plan.scratch +=
        DraftModel::scratch_bytes(parse_draft_config(draft.config()), options.max_sequences);
  }
  return plan;
}

MemoryPlan plan_memory(const EngineOptions& options, int64_t positions) {
  const std::string device = choose_device(options);
  if (device.starts_with("cuda")) {
    MemoryPlan plan = gpu_memory_plan(options);
    plan.available = free_gpu_memory(device);
    return plan;
  }
  MemoryPlan plan = memory_on(options, device, positions);
  plan.available = available_memory();
  return plan;
}

void require_memory(const MemoryPlan& plan) {
  if (plan.total() <= plan.available) return;
  throw Error(ErrorKind::kResource, "the plan does not fit the memory",
              fmt::format("{} needed (weights {}, KV {}, scratch {}, media {}), {} free",
                          gib(plan.total()), gib(plan.weights), gib(plan.kv_full + plan.kv_ring),
                          gib(plan.scratch), gib(plan.media), gib(plan.available)),
              "use a smaller model, a shorter --context, or fewer sequences");
}

}  // namespace gemma4
