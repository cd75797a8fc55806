// Ctrl-C and SIGTERM while an answer is made: the first stops the answer, the second the program.
#pragma once

#include <signal.h>

#include <optional>

#include "lib/runtime/generation.h"

namespace gemma4 {

inline constexpr int kExitInterrupted = 130;
inline constexpr int kExitTerminated = 143;

/// While it lives, SIGINT and SIGTERM are noted once; a second one kills. Outside of its life
/// both have the effect they had before. One at a time.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  /// kInterrupted, kTerminated, or nothing yet.
  std::optional<FinishReason> requested() const;

 private:
  struct sigaction old_interrupt_;
  struct sigaction old_terminate_;
};

/// The exit code that an answer's end means: 0, 130 or 143.
int exit_code_of(FinishReason reason);

/// While this lives, a Ctrl-C that nothing else waits for does nothing: a chat outlives it.
class SurviveInterrupts {
 public:
  SurviveInterrupts();
  ~SurviveInterrupts();
  SurviveInterrupts(const SurviveInterrupts&) = delete;
  SurviveInterrupts& operator=(const SurviveInterrupts&) = delete;

 private:
  struct sigaction old_ = {};
};

}  // namespace gemma4
