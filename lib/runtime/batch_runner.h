// Runs requests to their ends: continuous batching over ragged steps.
//
// Every step decodes one token of each answer under way, verifies what was drafted after it, and
// takes a chunk of the prompts that wait; a request enters as soon as a sequence is free. Before a
// step, one batch of the media that the prompts need next is encoded, so that an interruption is
// heard between two batches.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "lib/runtime/batch_request.h"
#include "lib/runtime/draft_rounds.h"
#include "lib/runtime/token_choice.h"

namespace gemma4 {

class BatchRunner {
 public:
  /// `context` outlives the runner.
  BatchRunner(const RunnerContext& context, std::span<const GenerationRequest> requests,
              const GenerationCallbacks& callbacks);

  std::vector<GenerationResult> run();

 private:
  void enter(BatchRequest& active) const;
  void step();

  const RunnerContext& context_;
  RequestQueue<BatchRequest> queue_;
  TokenChoice choice_;
  std::optional<DraftRounds> drafts_;  // none without speculation
};

}  // namespace gemma4
