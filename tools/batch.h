// gemma4 run --batch: one JSON request a line in, one JSON answer a line out, decoded together.
#pragma once

#include "lib/runtime/engine.h"
#include "tools/output.h"
#include "tools/run_flags.h"
#include "tools/text_input.h"

namespace gemma4 {

/// Runs the file that flags.batch names. Answers come in input order, each as soon as it and all
/// before it are done; a line that cannot be run gives {"id", "error"}. Returns the exit code: 4
/// when a line failed.
int run_batch(const RunFlags& flags, const PromptTools& model, EngineOptions options,
              StandardInput& standard_input, Output& output);

}  // namespace gemma4
