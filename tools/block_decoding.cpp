#include "tools/block_decoding.h"

#include <string>
#include <utility>

#include "lib/base/error.h"

namespace gemma4 {

void check_block_decoding(const ModelConfig& config, const SamplingFlags& sampling,
                          bool show_denoising, bool grammar, bool logprobs) {
  if (!config.diffusion) {
    if (!show_denoising) return;
    throw Error(ErrorKind::kUsage, "the model does not denoise", "--show-denoising",
                "the flag is for diffusion models");
  }
  const bool own_temperature = sampling.temperature.value_or(0.0f) != 0.0f;
  const std::pair<bool, const char*> refused[] = {
      {own_temperature, "--temperature other than 0"},
      {sampling.top_k.has_value(), "--top-k"},
      {sampling.top_p.has_value(), "--top-p"},
      {sampling.min_p.has_value(), "--min-p"},
      {sampling.repetition_penalty.has_value(), "--repetition-penalty"},
      {sampling.presence_penalty.has_value(), "--presence-penalty"},
      {sampling.frequency_penalty.has_value(), "--frequency-penalty"},
      {grammar, "a form of the answer"},
      {logprobs, "log probabilities"}};
  for (const auto& [given, name] : refused) {
    if (!given) continue;
    throw Error(ErrorKind::kUsage, std::string(name) + " cannot take effect on a diffusion model",
                {}, "it writes whole blocks, with a sampler of its own; leave the flag away");
  }
}

}  // namespace gemma4
