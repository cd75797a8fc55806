// gemma4 bench: how fast a model is here, and how near to what the machine can do.

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/parallel.h"
#include "tools/bench_flags.h"
#include "tools/bench_report.h"
#include "tools/bench_tables.h"
#include "tools/model_loading.h"
#include "tools/progress.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"

namespace gemma4 {
namespace {

class BenchCommand : public Subcommand {
 public:
  explicit BenchCommand(CLI::App& app) { flags_.add_to(app); }
  int run() override;

 private:
  void choose_model();
  void describe();
  void check_idle();
  bool measure(const StopSignals& signals);
  bool measure_cells(const BenchHooks& hooks);
  std::string text() const;
  void compare();
  void refuse_regression() const;

  BenchFlags flags_;
  EngineOptions options_;
  std::vector<BenchCellSpec> cells_;
  int64_t positions_ = 0;  // most that a sequence takes
  Json baseline_;
  BenchReport report_;
};

void BenchCommand::choose_model() {
  options_ = flags_.model.engine_options();
  cells_ = flags_.cells();
  if (flags_.env) return;
  if (flags_.dummy.empty()) {
    options_.directory = find_model(flags_.model, false);
  } else {
    options_.dummy_preset = flags_.preset();
    if (options_.cache_weights) {
      throw Error(ErrorKind::kUsage, "--cache-weights is for checkpoints, not for --dummy");
    }
  }
  const ModelConfig config = read_model_shape(options_);
  const int64_t limit = config.text.max_position_embeddings;
  const int64_t context = options_.context > 0 ? std::min(options_.context, limit) : limit;
  for (const BenchCellSpec& cell : cells_) {
    const int64_t positions = cell.positions(config);
    if (positions > context) {
      throw Error(ErrorKind::kInput, "the workload does not fit the context",
                  fmt::format("{} at depth {}: {} tokens, context {}", cell.workload.name,
                              cell.depth, positions, context),
                  "use a shorter one");
    }
    positions_ = std::max(positions_, positions);
    options_.max_sequences = std::max(options_.max_sequences, cell.batch);
  }
  if (!cells_.empty()) options_.context = positions_;
}

void BenchCommand::describe() {
  report_.environment = read_environment();
  report_.model = flags_.model_name();
  report_.weights = flags_.model.weights;
  report_.lm_head = flags_.model.lm_head;
  report_.kv_cache_dtype = flags_.model.kv_cache_dtype;
  report_.exact_activations = options_.exact_activations;
  if (options_.draft.kind != DraftOptions::Kind::kNone) {
    report_.draft = flags_.model.draft;
    report_.draft_tokens = options_.draft.tokens ? std::to_string(*options_.draft.tokens) : "auto";
  }
  report_.threads = options_.threads > 0 ? options_.threads : physical_cores();
  if (!flags_.env) {
    report_.model_hash = model_fingerprint(options_.dummy_preset.empty() ? options_.directory
                                                                         : options_.dummy_preset);
  }
}

void BenchCommand::check_idle() {
  report_.busy = is_busy(report_.environment, report_.threads);
  if (!report_.busy) return;
  const std::string who =
      fmt::format("others keep {:.1f} cores busy, load {:.1f}", report_.environment.busy_cores,
                  report_.environment.load_average);
  if (!flags_.anyway) {
    throw Error(ErrorKind::kResource, "the machine is busy", who, "wait, or add --anyway");
  }
  log_warning("the machine is busy: " + who);
}

// False: stopped.
bool BenchCommand::measure_cells(const BenchHooks& hooks) {
  reset_peak_memory();
  const auto engine = load_engine(options_, positions_, !flags_.output.quiet);
  BenchOptions how;
  how.warmup = flags_.warmup;
  how.repetitions = flags_.reps;
  how.drafts = options_.draft.kind != DraftOptions::Kind::kNone;
  how.format = linear_format(engine->config(), options_.weights.linears);
  for (const BenchCellSpec& spec : cells_) {
    auto cell = run_bench_cell(*engine, report_.limits, spec, how, hooks);
    if (!cell) return false;
    report_.cells.push_back(std::move(*cell));
  }
  return true;
}

bool BenchCommand::measure(const StopSignals& signals) {
  BenchHooks hooks;
  Progress progress("measuring", !flags_.output.quiet);
  hooks.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  hooks.should_stop = [&] { return signals.requested(); };
  report_.limits = measure_machine_limits(options_);
  report_.device = report_.limits.device;
  if (!cells_.empty() && !measure_cells(hooks)) return false;
  if (flags_.ops) {
    report_.ops = time_ops(options_, report_.limits, flags_.reps, hooks.progress);
  }
  if (flags_.load) {
    report_.load = time_load(options_, flags_.reps, hooks.should_stop);
    if (!report_.load) return false;
  }
  return !signals.requested();
}

void BenchCommand::compare() {
  if (flags_.baseline.empty()) return;
  report_.differences = compare_reports(baseline_, report_json(report_), flags_.baseline);
}

std::string BenchCommand::text() const {
  if (flags_.format == "json") return report_json(report_).dump(1) + "\n";
  if (flags_.format == "jsonl") return report_jsonl(report_);
  if (flags_.format == "csv") return report_csv(report_);
  if (flags_.format == "vllm") return report_vllm(report_);
  return report_table(report_, flags_.format == "markdown");
}

void BenchCommand::refuse_regression() const {
  if (!flags_.max_regress) return;
  for (const Difference& d : report_.differences) {
    if (d.worse_percent <= *flags_.max_regress) continue;
    throw Error(ErrorKind::kRegression, "slower than the baseline allows",
                fmt::format("{} x{} at {}: {} {:.1f} % worse (noise {:.1f} %), limit {} %",
                            d.workload, d.batch, d.depth, d.field, d.worse_percent, d.noise_percent,
                            *flags_.max_regress));
  }
}

int BenchCommand::run() {
  flags_.check();
  flags_.output.apply();
  choose_model();
  Output output(flags_.output.output);
  if (flags_.model.plan) {
    print_plan(plan_memory(options_, positions_), flags_.format == "json", output);
    output.commit();
    return 0;
  }
  if (!flags_.baseline.empty()) baseline_ = read_json_file(flags_.baseline, ErrorKind::kInput);
  describe();
  check_idle();
  {
    const StopSignals signals;
    if (!measure(signals)) return exit_code_of(*signals.requested());
  }
  compare();
  output.write(text());
  output.commit();
  if (flags_.output.stats) {
    fmt::print(stderr, "memory: peak {:.2f} GiB\n",
               static_cast<double>(peak_memory_bytes()) / (1 << 30));
  }
  refuse_regression();
  return 0;
}

}  // namespace

std::unique_ptr<Subcommand> make_bench(CLI::App& app) {
  return std::make_unique<BenchCommand>(app);
}

}  // namespace gemma4
