// One denoising step of a diffusion canvas: what a row of logits is judged with, and what comes of
// it (spec mtp-diffusion.md, B8).
#pragma once

#include <cstdint>
#include <span>

namespace gemma4 {

struct CanvasRow {
  float temperature = 1.0f;             // above 0
  double random = 0.0;                  // uniform in [0, 1): where the draw falls
  std::span<const int32_t> suppressed;  // ids that get no probability; outlives the call
};

struct CanvasChoice {
  int32_t best = 0;       // the likeliest id, the lowest on ties
  int32_t candidate = 0;  // drawn from the distribution
  float entropy = 0.0f;   // of the distribution, in nats
};

}  // namespace gemma4
