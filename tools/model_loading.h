// From -m to an engine: find the checkpoint, plan the memory, load.
#pragma once

#include <filesystem>
#include <memory>

#include "lib/runtime/engine.h"
#include "tools/flags.h"
#include "tools/output.h"

namespace gemma4 {

/// Throws Error as locate_model does.
std::filesystem::path find_model(const ModelFlags& flags, bool needs_tokenizer);

/// Positions that an answer without a limit is planned with, after the prompt. Longer answers get
/// their memory as they grow.
inline constexpr int64_t kPlannedAnswer = 4096;

/// Positions to plan for: `prompt` tokens and an answer, up to the context.
int64_t planned_positions(int64_t prompt, int64_t max_tokens);

/// --plan: a table, or one JSON object in bytes.
void print_plan(const MemoryPlan& plan, bool json, Output& output);

/// Throws Error(kResource) when `positions` positions a sequence do not fit the memory.
std::unique_ptr<Engine> load_engine(const EngineOptions& options, int64_t positions,
                                    bool show_progress);

}  // namespace gemma4
