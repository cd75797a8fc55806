// Runs requests on a diffusion model: answers are written in blocks, each settled on a canvas.
//
// Every step denoises the canvases of all answers under way, together, and encodes what waits to be
// encoded: chunks of prompts, and finished blocks. What ends a prompt or a block goes through the
// model in one step with the first pass of the canvas behind it, since no encoded row looks at a
// canvas (spec mtp-diffusion.md, B8.2).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "lib/runtime/canvas.h"
#include "lib/runtime/request_queue.h"

namespace gemma4 {

class BlockRunner {
 public:
  /// `context` outlives the runner. `canvas_context`: encoded tokens that a canvas sees on sliding
  /// layers.
  BlockRunner(const RunnerContext& context, int32_t canvas_context,
              std::span<const GenerationRequest> requests, const GenerationCallbacks& callbacks);
  ~BlockRunner();

  std::vector<GenerationResult> run();

  /// Bytes that a runner takes beside the decoder and the cache: what each sequence's last step
  /// made of its canvas, and the logits of a few rows.
  static uint64_t scratch_bytes(const ModelConfig& config, int64_t sequences);

 private:
  struct Active;  // a request under way

  void step();
  std::vector<Segment> compose(std::vector<CanvasRows>& canvases, std::vector<int32_t>& wanted);
  void open_canvas(Active& active, int64_t position);
  void store_encoded(double forward_ms);
  void judge(Active& active, Matrix hidden);
  void finish_block(Active& active);

  const DiffusionConfig& diffusion() const { return *context_.config.diffusion; }

  const RunnerContext& context_;
  int32_t canvas_context_;
  const GenerationCallbacks& callbacks_;
  RequestQueue<Active> queue_;
  std::unique_ptr<Buffer> logits_;
};

}  // namespace gemma4
