// What --stats says on stderr.
#pragma once

#include <span>
#include <string>

#include "lib/runtime/generation.h"

namespace gemma4 {

/// Lines on load, prompt, reply and peak memory; of several answers: the sums.
std::string stats_text(double load_ms, std::span<const GenerationResult> results);

}  // namespace gemma4
