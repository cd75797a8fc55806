#include "tools/stop_signals.h"

#include <atomic>

namespace gemma4 {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "used in a signal handler");

void note(int number) {
  int none = 0;
  if (g_signal.compare_exchange_strong(none, number)) return;
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(number, &standard, nullptr);
  ::raise(number);  // takes effect when the handler returns
}

}  // namespace

StopSignals::StopSignals() {
  g_signal = 0;
  struct sigaction action = {};
  action.sa_handler = note;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_interrupt_);
  ::sigaction(SIGTERM, &action, &old_terminate_);
  // A shell's background jobs ignore Ctrl-C: stay that way.
  if (old_interrupt_.sa_handler == SIG_IGN) ::sigaction(SIGINT, &old_interrupt_, nullptr);
}

StopSignals::~StopSignals() {
  ::sigaction(SIGINT, &old_interrupt_, nullptr);
  ::sigaction(SIGTERM, &old_terminate_, nullptr);
}

std::optional<FinishReason> StopSignals::requested() const {
  switch (g_signal) {
    case SIGINT:
      return FinishReason::kInterrupted;
    case SIGTERM:
      return FinishReason::kTerminated;
    default:
      return std::nullopt;
  }
}

SurviveInterrupts::SurviveInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &old_);
}

SurviveInterrupts::~SurviveInterrupts() { ::sigaction(SIGINT, &old_, nullptr); }

int exit_code_of(FinishReason reason) {
  if (reason == FinishReason::kInterrupted) return kExitInterrupted;
  if (reason == FinishReason::kTerminated) return kExitTerminated;
  return 0;
}

}  // namespace gemma4
