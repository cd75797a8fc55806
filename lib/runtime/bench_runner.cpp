#include "lib/runtime/bench_runner.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <utility>

#include "lib/base/error.h"
#include "lib/runtime/environment.h"
#include "lib/runtime/model_work.h"

namespace gemma4 {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kTtftsForP99 = 100;
constexpr int64_t kMaxTokens = int64_t{1} << 31;

// Ids without meaning, another sequence of them for every seed.
std::vector<TokenId> random_prompt(int64_t length, uint64_t seed, int32_t vocabulary) {
  std::vector<TokenId> ids;
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (int64_t i = 0; i < length; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    ids.push_back(static_cast<TokenId>((state >> 33) % static_cast<uint64_t>(vocabulary)));
  }
  return ids;
}

// Seconds at which the tokens of one run came: [sequence][token].
struct Run {
  std::vector<std::vector<double>> tokens;
  DraftStats drafts;
  std::vector<double> block_steps;  // of a diffusion model: of every block
  double prefilled = 0.0;           // of a diffusion model: the prompts were encoded then

  // When the last sequence began to decode.
  double decode_start() const {
    if (!block_steps.empty()) return prefilled;
    double time = 0.0;
    for (const auto& sequence : tokens) time = std::max(time, sequence.front());
    return time;
  }
  double end() const {
    double time = 0.0;
    for (const auto& sequence : tokens) time = std::max(time, sequence.back());
    return time;
  }
  double decode_seconds() const { return end() - decode_start(); }
  int64_t tokens_after(double time) const {
    int64_t count = 0;
    for (const auto& sequence : tokens) {
      count += std::count_if(sequence.begin(), sequence.end(), [&](double t) { return t > time; });
    }
    return count;
  }
};

class CellRunner {
 public:
  CellRunner(Engine& engine, const BenchCellSpec& spec, const BenchHooks& hooks)
      : engine_(engine), spec_(spec), hooks_(hooks) {
    if (spec.depth == 0) return;
    for (int64_t i = 0; i < spec.batch; ++i) sessions_.push_back(engine.open_session());
  }

  // Times one run; `number` tells its prompts from those of other runs. Nothing: stopped.
  std::optional<Run> run(uint64_t number) {
    Run result;
    if (!fill_sessions()) return std::nullopt;
    const std::vector<GenerationRequest> requests = make_requests(number);
    result.tokens.resize(requests.size());
    std::vector<int64_t> steps(requests.size());  // of the blocks under way
    const auto started = Clock::now();
    const auto now = [&] { return std::chrono::duration<double>(Clock::now() - started).count(); };
    GenerationCallbacks callbacks;
    callbacks.should_stop = hooks_.should_stop;
    callbacks.on_token = [&](size_t index, TokenId) { result.tokens[index].push_back(now()); };
    callbacks.on_prefill = [&](int64_t, int64_t) { result.prefilled = now(); };
    callbacks.on_canvas = [&](size_t index, std::span<const TokenId>, bool settled) {
      ++steps[index];
      if (!settled) return;
      result.block_steps.push_back(static_cast<double>(std::exchange(steps[index], 0)));
    };
    const auto answers = engine_.generate(requests, callbacks);
    for (size_t i = 0; i < answers.size(); ++i) {
      if (answers[i].finish_reason != FinishReason::kLength) return std::nullopt;
      if (answers[i].cached_tokens != spec_.depth ||
          result.tokens[i].size() != static_cast<size_t>(spec_.workload.output)) {
        throw Error(ErrorKind::kInternal, "a benchmark run did not do the work it should",
                    spec_.workload.name);
      }
      result.drafts.add(answers[i].drafts);
    }
    return result;
  }

 private:
  GenerationRequest request(std::vector<TokenId> prompt, int64_t tokens) const {
    GenerationRequest request;
    request.prompt = std::move(prompt);
    request.sampling.temperature = 0.0f;
    request.max_tokens = tokens;
    request.ignore_eos = true;
    request.parse_output = false;
    return request;
  }

  std::vector<TokenId> depth_tokens(int64_t sequence) const {
    return random_prompt(spec_.depth, static_cast<uint64_t>(sequence), vocabulary());
  }
  int32_t vocabulary() const { return engine_.config().text.vocab_size; }

  // Brings every sequence to exactly `depth` tokens. False: stopped.
  bool fill_sessions() {
    std::vector<GenerationRequest> requests;
    for (size_t i = 0; i < sessions_.size(); ++i) {
      requests.push_back(request(depth_tokens(static_cast<int64_t>(i)), 0));
      requests.back().session = sessions_[i].get();
    }
    if (requests.empty()) return true;
    GenerationCallbacks callbacks;
    callbacks.should_stop = hooks_.should_stop;
    const auto results = engine_.generate(requests, callbacks);
    return std::all_of(results.begin(), results.end(), [](const GenerationResult& result) {
      return result.finish_reason == FinishReason::kLength;
    });
  }

  std::vector<GenerationRequest> make_requests(uint64_t number) const {
    std::vector<GenerationRequest> requests;
    for (int64_t i = 0; i < spec_.batch; ++i) {
      std::vector<TokenId> prompt = depth_tokens(i);
      const auto added = random_prompt(spec_.workload.input,
                                       (number << 32) + static_cast<uint64_t>(i), vocabulary());
      prompt.insert(prompt.end(), added.begin(), added.end());
      requests.push_back(request(std::move(prompt), spec_.workload.output));
      if (!sessions_.empty()) requests.back().session = sessions_[static_cast<size_t>(i)].get();
    }
    return requests;
  }

  Engine& engine_;
  const BenchCellSpec& spec_;
  const BenchHooks& hooks_;
  std::vector<std::unique_ptr<Session>> sessions_;
};

// Averages of the answer's decode steps; the first answer token is fed at depth + input.
std::optional<double> bytes_per_token(const Engine& engine, const BenchCellSpec& spec) {
  if (spec.workload.output < 2) return std::nullopt;
  if (engine.config().text.num_experts > 0 && spec.batch > 1) return std::nullopt;
  if (engine.config().diffusion) return std::nullopt;
  const int64_t steps = spec.workload.output - 1;
  double kv = 0.0;
  for (int64_t i = 0; i < steps; ++i) {
    kv += static_cast<double>(engine.kv_bytes_per_token(spec.depth + spec.workload.input + i));
  }
  return static_cast<double>(engine.weight_bytes_per_token()) / static_cast<double>(spec.batch) +
         kv / static_cast<double>(steps);
}

void summarise(BenchCell& cell, const std::vector<Run>& runs) {
  const BenchCellSpec& spec = cell.spec;
  std::vector<double> ttft, tpot, itl, prefill_s, decode_s, decoded, run_s, block_steps;
  for (const Run& run : runs) {
    for (const std::vector<double>& times : run.tokens) {
      ttft.push_back(times.front() * 1e3);
      if (!run.block_steps.empty()) continue;
      if (times.size() > 1) {
        tpot.push_back((times.back() - times.front()) * 1e3 /
                       static_cast<double>(times.size() - 1));
      }
      for (size_t i = 1; i < times.size(); ++i) itl.push_back((times[i] - times[i - 1]) * 1e3);
    }
    block_steps.insert(block_steps.end(), run.block_steps.begin(), run.block_steps.end());
    prefill_s.push_back(run.decode_start());
    decode_s.push_back(run.decode_seconds());
    decoded.push_back(static_cast<double>(run.tokens_after(run.decode_start())));
    run_s.push_back(run.end());
    cell.seconds += run.end();
  }
  const std::vector<double> prompt_tokens(runs.size(),
                                          static_cast<double>(spec.batch * spec.workload.input));
  const std::vector<double> answers(runs.size(), static_cast<double>(spec.batch));
  cell.ttft_ms = measured(std::move(ttft));
  if (cell.ttft_ms.values.size() < kTtftsForP99) cell.ttft_ms.p99.reset();
  cell.tpot_ms = measured(std::move(tpot));
  cell.itl_ms = measured(std::move(itl));
  cell.prefill_tokens_per_second = measured_rate(prompt_tokens, prefill_s);
  cell.decode_tokens_per_second = measured_rate(decoded, decode_s);
  cell.request_throughput = measured_rate(answers, run_s);
  cell.steps_per_block = measured(std::move(block_steps));
}

// `plain` are the runs of the same prompts without drafts.
void summarise_drafts(BenchCell& cell, const std::vector<Run>& runs,
                      const std::vector<Run>& plain) {
  std::vector<double> rounds, tokens, decode_s, plain_s;
  std::vector<std::vector<double>> drafted, accepted;  // [position][run]
  for (const Run& run : runs) {
    rounds.push_back(static_cast<double>(run.drafts.rounds));
    tokens.push_back(static_cast<double>(run.drafts.rounds + run.drafts.total_accepted()));
    decode_s.push_back(run.decode_seconds());
    const size_t positions = run.drafts.drafted.size();
    drafted.resize(std::max(drafted.size(), positions));
    accepted.resize(drafted.size());
    for (size_t i = 0; i < positions; ++i) {
      drafted[i].push_back(static_cast<double>(run.drafts.drafted[i]));
      accepted[i].push_back(static_cast<double>(run.drafts.accepted[i]));
    }
  }
  for (const Run& run : plain) plain_s.push_back(run.decode_seconds());
  cell.accepted_length = measured_rate(tokens, rounds);
  for (size_t i = 0; i < drafted.size(); ++i) {
    cell.acceptance_by_position.push_back(measured_rate(accepted[i], drafted[i]));
  }
  if (cell.accepted_length.median) cell.speed_up = measured_rate(plain_s, decode_s);
}

}  // namespace

int64_t BenchCellSpec::positions(const ModelConfig& config) const {
  const int64_t block = config.diffusion ? config.diffusion->canvas_length : 1;
  return depth + workload.input + (workload.output + block - 1) / block * block;
}

Workload parse_workload(const std::string& text) {
  const Workload named[] = {{"prompt-heavy", 8000, 1000},
                            {"decode-heavy", 1000, 8000},
                            {"balanced", 1000, 1000},
                            {"chat", 256, 128}};
  for (const Workload& workload : named) {
    if (workload.name == text) return workload;
  }
  Workload workload{text, 0, 0};
  const char* end = text.data() + text.size();
  const auto input = std::from_chars(text.data(), end, workload.input);
  if (input.ec == std::errc() && input.ptr != end && *input.ptr == '/') {
    const auto output = std::from_chars(input.ptr + 1, end, workload.output);
    if (output.ec == std::errc() && output.ptr == end && workload.input >= 1 &&
        workload.output >= 1 && workload.input <= kMaxTokens && workload.output <= kMaxTokens) {
      return workload;
    }
  }
  throw Error(ErrorKind::kUsage, "unknown workload", text,
              "use prompt-heavy, decode-heavy, balanced, chat or IN/OUT, as in 512/128");
}

std::optional<BenchCell> run_bench_cell(Engine& engine, const MachineLimits& limits,
                                        const BenchCellSpec& spec, const BenchOptions& options,
                                        const BenchHooks& hooks) {
  CellRunner runner(engine, spec, hooks);
  std::vector<Run> runs;
  std::vector<Run> plain;
  const int total = options.warmup + options.repetitions;
  for (int i = 0; i < total; ++i) {
    if (hooks.progress) hooks.progress(i, total);
    const auto number = static_cast<uint64_t>(i) + 1;
    std::optional<Run> run = runner.run(number);
    if (!run) return std::nullopt;
    if (i < options.warmup) continue;
    runs.push_back(std::move(*run));
    if (!options.drafts) continue;
    engine.enable_drafts(false);
    run = runner.run(number);
    engine.enable_drafts(true);
    if (!run) return std::nullopt;
    plain.push_back(std::move(*run));
  }
  BenchCell cell;
  cell.spec = spec;
  summarise(cell, runs);
  if (options.drafts) summarise_drafts(cell, runs, plain);
  if (const auto bytes = bytes_per_token(engine, spec)) {
    cell.bytes_per_token = measured({*bytes});
    cell.share_of_bandwidth =
        scaled(cell.decode_tokens_per_second, *bytes * 1e-9 / *limits.read_gb_per_s.median);
  }
  if (options.format && !engine.config().diffusion) {
    const double operations =
        prefill_operations(engine.config().text, spec.depth, spec.workload.input) /
        static_cast<double>(spec.workload.input);
    cell.share_of_matmul = scaled(cell.prefill_tokens_per_second,
                                  operations * 1e-9 / *limits.matmul(*options.format).median);
  }
  cell.peak_rss_bytes = measured({static_cast<double>(peak_memory_bytes())});
  cell.load_ms = measured({engine.load_ms()});
  return cell;
}

std::optional<TimedFormat> linear_format(const ModelConfig& config, WeightFormat choice) {
  const Json& json = config.json;
  if (choice == WeightFormat::kBf16) return TimedFormat::kBf16;
  if (json.contains("quantization_config")) return std::nullopt;
  if (choice == WeightFormat::kInt8) return TimedFormat::kInt8;
  if (choice == WeightFormat::kInt4) return TimedFormat::kInt4;
  const auto dtype_of = [](const Json& object) -> std::string {
    for (const char* key : {"dtype", "torch_dtype"}) {
      if (object.contains(key) && object[key].is_string()) return object[key];
    }
    return {};
  };
  std::string dtype;
  if (json.contains("text_config") && json["text_config"].is_object()) {
    dtype = dtype_of(json["text_config"]);
  }
  if (dtype.empty()) dtype = dtype_of(json);
  return dtype == "float32" ? TimedFormat::kF32 : TimedFormat::kBf16;
}

}  // namespace gemma4
