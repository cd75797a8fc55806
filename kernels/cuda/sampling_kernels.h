// Sampling on the device (spec tokenizer-chat.md, section 7; order as in kernels/reference/sample).
#pragma once

#include <span>
#include <vector>

#include "kernels/cuda/launch_queue.h"
#include "kernels/sampling.h"

namespace gemma4::cuda {

/// One row's settings, as kernels read them from device memory.
struct SampleSettings {
  double random = 0.0;
  float temperature = 1.0f;
  float top_p = 1.0f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int32_t top_k = 0;
  int32_t first_change = 0;  // of this row, in `changes`
  int32_t num_changes = 0;
  int32_t first_mask = 0;  // of this row, in `masks`
  int32_t num_masks = -1;  // 64-bit words; -1: every id is allowed
  int32_t reserved = 0;
};

/// What penalties and suppression do to one id.
struct LogitChange {
  int32_t id = 0;
  int32_t count = 0;  // occurrences in the answer
  int32_t seen = 0;   // in prompt or answer
  int32_t suppressed = 0;
};

/// Everything that sampling some rows needs from the host.
struct SampleBatch {
  std::vector<SampleSettings> settings;
  std::vector<LogitChange> changes;
  std::vector<uint64_t> masks;
};
SampleBatch make_sample_batch(std::span<const SampleRow> rows, int64_t vocab_size);

inline constexpr int64_t kSegment = 256;          // logits that share an entry of `tops`
inline constexpr int64_t kMostCandidates = 8192;  // of a row

/// Device memory that sampling works in.
struct SampleMemory {
  const SampleSettings* settings = nullptr;  // [rows]
  const LogitChange* changes = nullptr;
  const uint64_t* masks = nullptr;
  float* work = nullptr;             // [rows, vocab]
  float* tops = nullptr;             // [rows, ceil(vocab / kSegment)]
  float* candidates = nullptr;       // [rows, kMostCandidates]
  int32_t* candidate_ids = nullptr;  // the same
  int32_t* tokens = nullptr;         // [rows] the result; -1: no id is allowed
};

/// `most_changes`: of any row.
void sample_rows(LaunchQueue& queue, const float* logits, int64_t rows, int64_t vocab_size,
                 int32_t most_changes, const SampleMemory& memory);

}  // namespace gemma4::cuda
