#include "lib/runtime/bench_ops.h"

#include "kernels/backend.h"
#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/runtime/bench_runner.h"
#include "lib/runtime/device_choice.h"

namespace gemma4 {
namespace {

constexpr uint64_t kWorkingSet = uint64_t{1} << 29;  // caches hold less
constexpr int64_t kPrefillRows = 512;

WeightFormat choice_of(const LinearOp& op, const WeightChoice& choice) {
  if (op.name == "lm_head") return choice.lm_head;
  return op.name == "router.proj" ? WeightFormat::kStored : choice.linears;
}

OpTiming time_op(Ops& ops, const LinearOp& op, TimedFormat format, const MachineLimits& limits,
                 int repetitions) {
  OpTiming timing;
  timing.op = op;
  timing.format = format;
  const LinearTiming decode =
      time_linear(ops, format, op.rows, op.cols, 1, repetitions, kWorkingSet);
  const std::vector<double> bytes(decode.seconds.size(), decode.weight_bytes * 1e-9);
  timing.product = decode.product;
  timing.decode_ms = scaled(measured(decode.seconds), 1e3);
  timing.decode_gb_per_s = measured_rate(bytes, decode.seconds);
  timing.share_of_bandwidth = scaled(timing.decode_gb_per_s, 1.0 / *limits.read_gb_per_s.median);
  if (op.name == "lm_head") return timing;  // of a prompt, the head sees one row
  const LinearTiming prefill =
      time_linear(ops, format, op.rows, op.cols, kPrefillRows, repetitions);
  const std::vector<double> operations(prefill.seconds.size(), prefill.operations * 1e-9);
  timing.prefill_gflop_per_s = measured_rate(operations, prefill.seconds);
  timing.share_of_matmul = scaled(timing.prefill_gflop_per_s, 1.0 / *limits.matmul(format).median);
  return timing;
}

}  // namespace

std::vector<OpTiming> time_ops(const EngineOptions& options, const MachineLimits& limits,
                               int repetitions,
                               const std::function<void(int64_t, int64_t)>& progress) {
  const ModelConfig config = read_model_shape(options);
  set_num_threads(options.threads > 0 ? options.threads : physical_cores());
  const auto ops =
      make_backend(choose_device(options), {.exact_activations = options.exact_activations});
  const std::vector<LinearOp> all = linear_ops(config.text);
  std::vector<OpTiming> timings;
  for (const LinearOp& op : all) {
    if (progress) progress(static_cast<int64_t>(timings.size()), static_cast<int64_t>(all.size()));
    const auto format = linear_format(config, choice_of(op, options.weights));
    if (!format) {
      throw Error(ErrorKind::kUsage, "--ops cannot tell the formats of a quantised checkpoint", {},
                  "use --dummy with --weights and --lm-head");
    }
    timings.push_back(time_op(*ops, op, *format, limits, repetitions));
  }
  return timings;
}

}  // namespace gemma4
