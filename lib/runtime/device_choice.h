// Which device a model runs on, and whether it fits there.
#pragma once

#include <string>
#include <string_view>

#include "lib/runtime/engine.h"

namespace gemma4 {

/// What a model takes on a device ("cpu", "cuda") with `positions` of its KV cache in use.
/// `available` is left 0.
MemoryPlan memory_on(const EngineOptions& options, std::string_view device, int64_t positions);

/// The plan for a GPU: weights as they lie there, and a KV cache for the whole context, which a GPU
/// gives its memory at once. `available` is left 0.
MemoryPlan gpu_memory_plan(const EngineOptions& options);

/// Flags, each of which alone would make the model fit `available` bytes of a GPU:
/// "--weights int8, --context 32768"; empty if none would.
std::string flags_that_fit(const EngineOptions& options, uint64_t available);

/// The device of `options` by its full name, as make_backend takes it. "auto" is the GPU with the
/// most free memory if the model fits it, else the CPU (with a warning that says why). Throws
/// Error(kResource) when a GPU is asked for and there is none, or when the model does not fit it.
std::string choose_device(const EngineOptions& options);

/// Prompt tokens in one step on this device: a GPU wants more of them than a CPU.
int64_t prompt_chunk(const EngineOptions& options, std::string_view device);

/// Free bytes of a GPU that choose_device named.
uint64_t free_gpu_memory(const std::string& device);

}  // namespace gemma4
