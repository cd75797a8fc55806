#include "tools/stats.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>

namespace gemma4 {
namespace {

std::string rate(int64_t tokens, double ms) {
  if (tokens <= 0 || ms <= 0.0) return "- tok/s";
  return fmt::format("{:.1f} tok/s", 1000.0 * static_cast<double>(tokens) / ms);
}

// Acceptance by position, tokens that a round takes over, and what that saves.
std::string drafts_text(const DraftStats& drafts, double decode_ms) {
  if (drafts.rounds == 0) return {};
  std::string positions;
  for (size_t i = 0; i < drafts.drafted.size(); ++i) {
    positions += fmt::format(" {:.0f}", 100.0 * static_cast<double>(drafts.accepted[i]) /
                                            static_cast<double>(drafts.drafted[i]));
  }
  std::string text = fmt::format(
      "drafts: {} of {} accepted, {:.2f} a round, by position{} %", drafts.total_accepted(),
      drafts.total_drafted(),
      static_cast<double>(drafts.total_accepted()) / static_cast<double>(drafts.rounds), positions);
  if (drafts.plain_ms > 0.0 && decode_ms > 0.0) {
    text += fmt::format(", speed-up {:.2f}", drafts.plain_ms / decode_ms);
  }
  return text + "\n";
}

}  // namespace

std::string stats_text(double load_ms, std::span<const GenerationResult> results) {
  GenerationResult sum;
  int64_t intervals = 0;  // between tokens of the same answer
  for (const GenerationResult& result : results) {
    sum.prompt_tokens += result.prompt_tokens;
    sum.cached_tokens += result.cached_tokens;
    sum.completion_tokens += result.completion_tokens;
    sum.prefill_ms += result.prefill_ms;
    sum.decode_ms += result.decode_ms;
    sum.ttft_ms += result.ttft_ms;
    sum.drafts.add(result.drafts);
    sum.denoising_steps += result.denoising_steps;
    intervals += std::max<int64_t>(0, result.completion_tokens - 1);
  }
  const double count = std::max<double>(1.0, static_cast<double>(results.size()));
  rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::string text = fmt::format("load:   {:.0f} ms\n", load_ms);
  if (results.size() > 1)
    text += fmt::format("answers: {}; rates are per answer\n", results.size());
  text +=
      fmt::format("prompt: {} tokens, {} reused, {}, first token after {:.0f} ms\n",
                  sum.prompt_tokens, sum.cached_tokens,
                  rate(sum.prompt_tokens - sum.cached_tokens, sum.prefill_ms), sum.ttft_ms / count);
  text +=
      fmt::format("reply:  {} tokens, {}\n", sum.completion_tokens, rate(intervals, sum.decode_ms));
  text += drafts_text(sum.drafts, sum.decode_ms);
  if (sum.denoising_steps > 0) {
    text += fmt::format(
        "canvas: {} denoising steps, {:.1f} tokens a step\n", sum.denoising_steps,
        static_cast<double>(sum.completion_tokens) / static_cast<double>(sum.denoising_steps));
  }
  text +=
      fmt::format("memory: peak {:.2f} GiB\n", static_cast<double>(usage.ru_maxrss) / (1 << 20));
  return text;
}

}  // namespace gemma4
