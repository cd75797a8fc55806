// One cell of a benchmark: a workload run again and again on a loaded engine.
//
// Prompts are random ids, all different; answers are greedy and always as long as the workload
// says. All sequences of a batch are asked at once. Times are of the monotonic clock, seen from
// outside the engine.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "lib/runtime/engine.h"
#include "lib/runtime/machine_limits.h"
#include "lib/runtime/measured.h"

namespace gemma4 {

struct Workload {
  std::string name;  // as asked for: "chat", "512/128"
  int64_t input = 0;
  int64_t output = 0;
};

/// prompt-heavy 8000/1000, decode-heavy 1000/8000, balanced 1000/1000, chat 256/128, or "IN/OUT",
/// both at least 1. Throws Error(kUsage) for anything else.
Workload parse_workload(const std::string& text);

struct BenchCellSpec {
  Workload workload;
  int64_t batch = 1;
  /// Tokens that every sequence holds already when its prompt comes. They are not timed.
  int64_t depth = 0;

  /// Positions that one sequence takes: of a diffusion model the last block's, too, which may be
  /// longer than what is wanted of it.
  int64_t positions(const ModelConfig& config) const;
};

struct BenchOptions {
  int warmup = 1;       // runs that are not counted
  int repetitions = 5;  // runs that are
  /// The engine has drafts: every counted run is repeated without them, for the speed-up.
  bool drafts = false;
  /// What the products of the model read, for the share of the matrix rate; nothing: mixed.
  std::optional<TimedFormat> format;
};

struct BenchHooks {
  std::function<void(int64_t done, int64_t total)> progress;  // runs
  std::function<std::optional<FinishReason>()> should_stop;   // as GenerationCallbacks'
};

/// Of a diffusion model, whose tokens come in blocks: TTFT is the time to the first block, there
/// are no TPOT, ITL, bytes and shares, and the prompt's time ends with the pass that encodes the
/// last of it, which is the first pass over the canvas as well.
struct BenchCell {
  BenchCellSpec spec;
  Measured ttft_ms;  // one value a sequence and run; p99 from 100 of them on
  Measured tpot_ms;  // one a sequence and run: (last - first token) / (tokens - 1)
  Measured itl_ms;   // one a gap
  /// Prompt tokens of the batch over the time until its last sequence has its first token.
  Measured prefill_tokens_per_second;
  /// Tokens of the batch after that moment over the time they took.
  Measured decode_tokens_per_second;
  Measured request_throughput;  // answers per second
  /// That decoding one token reads: the weights, divided by the batch that shares them, and the
  /// keys and values, on average over the answer. Empty for experts in a batch, whose number is
  /// not known.
  Measured bytes_per_token;
  Measured share_of_bandwidth;  // bytes_per_token * decode rate / read bandwidth
  Measured share_of_matmul;     // operations of the prefill over its time / matrix rate
  /// Of drafts, a value a run; else empty. Tokens that a step with drafts gave: those accepted, and
  /// one more.
  Measured accepted_length;
  /// Share of the drafts at the first, second ... position that was accepted.
  std::vector<Measured> acceptance_by_position;
  /// Decoding time of the same prompts without drafts over that with them.
  Measured speed_up;
  /// Of a diffusion model, a value a block: the passes over its canvas.
  Measured steps_per_block;
  Measured peak_rss_bytes;
  Measured load_ms;
  double seconds = 0.0;  // of all counted runs
};

/// Nothing when should_stop ended it. The engine must hold `batch` sequences of positions().
std::optional<BenchCell> run_bench_cell(Engine& engine, const MachineLimits& limits,
                                        const BenchCellSpec& spec, const BenchOptions& options,
                                        const BenchHooks& hooks);

/// What the products of this model read; nothing when a quantised checkpoint decides by layer.
std::optional<TimedFormat> linear_format(const ModelConfig& config, WeightFormat choice);

}  // namespace gemma4
