#include <algorithm>
#include <map>

#include "kernels/cuda/sampling_kernels.h"

namespace gemma4::cuda {

SampleBatch make_sample_batch(std::span<const SampleRow> rows, int64_t vocab_size) {
  SampleBatch batch;
  for (const SampleRow& row : rows) {
    const SamplingParams& p = row.params;
    SampleSettings s;
    s.random = row.random;
    s.temperature = p.temperature;
    s.top_p = p.top_p;
    s.min_p = std::min(p.min_p, 1.0f);
    s.top_k = p.top_k;
    s.repetition_penalty = p.repetition_penalty;
    s.presence_penalty = p.presence_penalty;
    s.frequency_penalty = p.frequency_penalty;
    std::map<int32_t, LogitChange> changes;
    const auto change = [&](int32_t id) -> LogitChange& {
      LogitChange& entry = changes[id];
      entry.id = id;
      return entry;
    };
    const auto known = [&](int32_t id) { return id >= 0 && id < vocab_size; };
    for (const int32_t id : row.suppressed) {
      if (known(id)) change(id).suppressed = 1;
    }
    if (p.repetition_penalty != 1.0f || p.presence_penalty != 0.0f || p.frequency_penalty != 0.0f) {
      for (const int32_t id : row.prompt_ids) {
        if (known(id)) change(id).seen = 1;
      }
      for (const int32_t id : row.output_ids) {
        if (!known(id)) continue;
        change(id).seen = 1;
        ++change(id).count;
      }
    }
    s.first_change = static_cast<int32_t>(batch.changes.size());
    s.num_changes = static_cast<int32_t>(changes.size());
    for (const auto& [id, entry] : changes) batch.changes.push_back(entry);
    if (!row.allowed.empty()) {
      s.first_mask = static_cast<int32_t>(batch.masks.size());
      s.num_masks = static_cast<int32_t>(row.allowed.size());
      batch.masks.insert(batch.masks.end(), row.allowed.begin(), row.allowed.end());
    }
    batch.settings.push_back(s);
  }
  return batch;
}

}  // namespace gemma4::cuda
