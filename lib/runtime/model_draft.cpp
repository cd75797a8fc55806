#include "lib/runtime/model_draft.h"

#include <algorithm>

#include "lib/model/checkpoint_tensors.h"
#include "lib/runtime/step_builder.h"

namespace gemma4 {

ModelDraft::ModelDraft(const std::filesystem::path& directory, Ops& ops, const TextDecoder& target,
                       const KvCache& cache, int32_t query_offset, int64_t max_sequences)
    : cache_(cache),
      query_offset_(query_offset),
      checkpoint_(Checkpoint::open(directory)),
      config_(parse_draft_config(checkpoint_.config())) {
  bind_to_target(config_, target.config());
  CheckpointTensors source(checkpoint_, ops);
  DraftWeights weights = load_draft_weights(source, config_, ops);
  source.finish();
  model_ = std::make_unique<DraftModel>(ops, config_, std::move(weights), target, max_sequences);
}

void ModelDraft::draft(std::span<DraftTask> tasks, Matrix hidden) {
  std::vector<DraftQuery> queries;
  std::vector<int32_t> hidden_rows;
  std::vector<DraftTask*> drafted;
  int64_t count = 0;
  for (DraftTask& task : tasks) {
    // The hidden state that the model starts from is that of the newest token's own row.
    const auto length = static_cast<int64_t>(task.prompt.size() + task.answer.size());
    if (task.hidden_row < 0 || length - task.stored != 1) continue;
    queries.push_back({task.sequence, static_cast<int32_t>(task.stored), task.answer.back()});
    hidden_rows.push_back(task.hidden_row);
    drafted.push_back(&task);
    count = std::max(count, task.count);
  }
  if (drafted.empty()) return;
  Step step = build_draft_step(config_.text, cache_, queries, query_offset_);
  const auto tokens = model_->draft(step, hidden, hidden_rows, cache_.layers(), count);
  for (size_t i = 0; i < drafted.size(); ++i) {
    for (int64_t k = 0; k < drafted[i]->count; ++k) {
      drafted[i]->tokens.push_back(tokens[static_cast<size_t>(k)][i]);
    }
  }
}

}  // namespace gemma4
