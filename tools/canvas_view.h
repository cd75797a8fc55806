// --show-denoising: a diffusion canvas as it settles, drawn below the answer and redrawn in place.
#pragma once

#include <span>
#include <string>

#include "lib/text/tokenizer.h"

namespace gemma4 {

class CanvasView {
 public:
  /// Draws on stderr when `enabled`. Throws Error(kUsage) when stderr is no terminal that redraws.
  CanvasView(bool enabled, const Tokenizer* tokenizer);
  ~CanvasView() { clear(); }
  CanvasView(const CanvasView&) = delete;
  CanvasView& operator=(const CanvasView&) = delete;

  bool enabled() const { return enabled_; }
  /// The likeliest tokens after a step. The cursor stays where the answer ends.
  void draw(std::span<const TokenId> canvas);
  /// Takes the canvas away: before anything else is written.
  void clear();

 private:
  std::string text_of(std::span<const TokenId> canvas) const;

  bool enabled_;
  const Tokenizer* tokenizer_;
  bool drawn_ = false;
};

}  // namespace gemma4
