// What goes through the model in one step of a BatchRunner: a token of each answer under way with
// what was drafted after it, and a chunk of the prompts that wait.
#pragma once

#include <vector>

#include "lib/runtime/batch_request.h"

namespace gemma4 {

struct BatchStep {
  std::vector<Segment> segments;
  std::vector<int32_t> wanted;  // rows of the step whose hidden states are wanted
  std::vector<LogitRow> rows;   // what each of them is for
};

/// Answers first, then prompts, so that the rows of one kind lie together. Makes room in the
/// sessions. At most `max_chunk` rows of prompts, unless an image block is longer.
BatchStep compose_step(BatchRequests requests, int64_t max_chunk);

/// The step has gone through the model: its keys and values are part of the sessions.
void store_step(BatchRequests requests);

}  // namespace gemma4
