// Runs requests to their ends: continuous batching over ragged steps.
//
// Every step decodes one token of each answer under way, verifies what was drafted after it, and
// takes a chunk of the prompts that wait; a request enters as soon as a sequence is free. Before a
// step, one batch of the media that the prompts need next is encoded, so that an interruption is
// heard between two batches.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/ops.h"
#include "lib/model/text_decoder.h"
#include "lib/runtime/answer.h"
#include "lib/runtime/media_encodings.h"
#include "lib/runtime/session_state.h"
#include "lib/runtime/speculation.h"
#include "lib/runtime/step_builder.h"

namespace gemma4 {

/// Most tokens of one answer in one step.
inline constexpr int64_t kMaxTokensAtOnce = 1 + kMaxDraftTokens;

/// What a runner works with; all outlive it.
struct RunnerContext {
  Ops& ops;
  TextDecoder& decoder;
  KvCache& cache;
  const ModelConfig& config;
  const Tokenizer* tokenizer;  // may be null
  int64_t context;             // most positions of a sequence
  int64_t max_chunk;           // prompt rows in one step, unless an image block is longer
  MediaEncodings& media;
  ImageMaskRule image_mask_rule;
  Speculation* speculation = nullptr;  // null: no drafts
};

class BatchRunner {
 public:
  BatchRunner(const RunnerContext& context, std::span<const GenerationRequest> requests,
              const GenerationCallbacks& callbacks);
  ~BatchRunner();

  std::vector<GenerationResult> run();

 private:
  struct Active;  // a request under way
  struct Row;     // a row of the step whose logits are wanted

  void admit();
  void encode_media();
  int64_t chunk_end(const Active& active, int64_t budget) const;
  void step();
  std::vector<Row> compose(std::vector<Segment>& segments, std::vector<int32_t>& wanted);
  void use_logits(Matrix hidden, std::span<const Row> rows);
  void sample(Matrix logits, std::span<const Row> rows);
  void take(const Row& row, TokenId token, const float* logits);
  void judge_drafts(bool prefilled, double step_ms);
  void draft(Matrix hidden);
  void finish_step();
  void report_prefill() const;

  RunnerContext context_;
  std::span<const GenerationRequest> requests_;
  const GenerationCallbacks& callbacks_;
  std::vector<std::unique_ptr<Active>> active_;
  size_t next_request_ = 0;
  std::vector<GenerationResult> results_;
  std::unique_ptr<Buffer> logits_;
  std::vector<float> host_row_;
  double draft_ms_ = 0.0;  // of the drafts that the next step verifies
};

}  // namespace gemma4
