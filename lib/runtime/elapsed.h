// Time that has passed.
#pragma once

#include <chrono>

namespace gemma4 {

using Clock = std::chrono::steady_clock;

inline double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

}  // namespace gemma4
