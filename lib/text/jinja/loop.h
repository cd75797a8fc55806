// The state of a running `for`: what the name `loop` shows to the body.
#pragma once

#include "lib/text/jinja/value.h"

namespace gemma4::jinja {

struct LoopState {
  LoopState(Elements elements, int nesting_depth)
      : items(std::move(elements)), depth(nesting_depth) {}

  Elements items;
  size_t index0 = 0;
  int depth = 0;  // nesting of the value, see nesting()
};

/// loop.index, loop.last ...; an undefined value for names that a loop does not have.
Value loop_attribute(const LoopState& loop, std::string_view name);

}  // namespace gemma4::jinja
