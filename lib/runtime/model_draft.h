// Drafts of an assistant checkpoint.
#pragma once

#include <filesystem>
#include <memory>

#include "lib/io/checkpoint.h"
#include "lib/model/draft_model.h"
#include "lib/runtime/draft_source.h"
#include "lib/runtime/kv_cache.h"

namespace gemma4 {

class ModelDraft : public DraftSource {
 public:
  /// Loads the checkpoint in `directory`. `query_offset`: where a draft's query stands, relative to
  /// the newest token's position: -1 or 0 (ruling 8). All references must outlive the source.
  /// Throws Error(kModel) for what is no assistant, or that of another model.
  ModelDraft(const std::filesystem::path& directory, Ops& ops, const TextDecoder& target,
             const KvCache& cache, int32_t query_offset, int64_t max_sequences);

  void draft(std::span<DraftTask> tasks, Matrix hidden) override;
  DraftModel& model() { return *model_; }

 private:
  const KvCache& cache_;
  int32_t query_offset_;
  Checkpoint checkpoint_;
  DraftConfig config_;
  std::unique_ptr<DraftModel> model_;
};

}  // namespace gemma4
