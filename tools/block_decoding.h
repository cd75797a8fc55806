// Which flags go with a diffusion model, which writes its answer in blocks.
#pragma once

#include "lib/model/config.h"
#include "tools/flags.h"

namespace gemma4 {

/// Throws Error(kUsage) for sampling flags that the model's own sampler does not have, and for
/// --show-denoising on a model that does not denoise. `grammar`: the answer's form was asked for;
/// `logprobs`: log probabilities were.
void check_block_decoding(const ModelConfig& config, const SamplingFlags& sampling,
                          bool show_denoising, bool grammar, bool logprobs);

}  // namespace gemma4
