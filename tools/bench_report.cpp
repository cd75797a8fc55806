#include "tools/bench_report.h"

#include <fmt/format.h>

namespace gemma4 {
namespace {

using Field = std::pair<const char*, Measured BenchCell::*>;

// The fields of a cell, in the schema's order.
constexpr Field kFields[] = {{"ttft_ms", &BenchCell::ttft_ms},
                             {"tpot_ms", &BenchCell::tpot_ms},
                             {"itl_ms", &BenchCell::itl_ms},
                             {"prefill_tokens_per_second", &BenchCell::prefill_tokens_per_second},
                             {"decode_tokens_per_second", &BenchCell::decode_tokens_per_second},
                             {"request_throughput", &BenchCell::request_throughput},
                             {"bytes_per_token", &BenchCell::bytes_per_token},
                             {"share_of_bandwidth", &BenchCell::share_of_bandwidth},
                             {"share_of_matmul", &BenchCell::share_of_matmul},
                             {"peak_rss_bytes", &BenchCell::peak_rss_bytes},
                             {"load_ms", &BenchCell::load_ms},
                             {"accepted_length", &BenchCell::accepted_length},
                             {"speed_up", &BenchCell::speed_up},
                             {"steps_per_block", &BenchCell::steps_per_block}};

Json number_json(const std::optional<double>& value) { return value ? Json(*value) : Json(); }

Json measured_json(const Measured& m) {
  return {{"median", number_json(m.median)},
          {"p99", number_json(m.p99)},
          {"mean", number_json(m.mean)},
          {"values", m.values}};
}

Json text_json(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json environment_json(const BenchReport& report) {
  const Environment& e = report.environment;
  return {{"version", e.version},
          {"compiler", e.compiler},
          {"system", e.system},
          {"cpu", e.cpu},
          {"cpu_features", e.cpu_features},
          {"clock_mhz", e.clock_mhz},
          {"cores", e.cores},
          {"threads", report.threads},
          {"gpu", Json()},
          {"device", report.device},
          {"load_average", e.load_average},
          {"busy_cores", e.busy_cores},
          {"busy", report.busy},
          {"model", text_json(report.model)},
          {"model_hash", text_json(report.model_hash)},
          {"weights", report.weights},
          {"lm_head", report.lm_head},
          {"kv_cache_dtype", report.kv_cache_dtype},
          {"exact_activations", report.exact_activations},
          {"draft", report.draft},
          {"draft_tokens", text_json(report.draft_tokens)}};
}

Json limits_json(const MachineLimits& limits) {
  Json rates = Json::object();
  for (const auto& [format, rate] : limits.matmul_gflop_per_s) {
    rates[std::string(timed_format_name(format))] = measured_json(rate);
  }
  return {{"read_gb_per_s", measured_json(limits.read_gb_per_s)}, {"matmul_gflop_per_s", rates}};
}

Json cell_json(const BenchReport& report, const BenchCell& cell) {
  Json object = {{"workload", cell.spec.workload.name},
                 {"batch", cell.spec.batch},
                 {"depth", cell.spec.depth},
                 {"weights", report.weights},
                 {"kv_cache_dtype", report.kv_cache_dtype}};
  for (const auto& [name, field] : kFields) object[name] = measured_json(cell.*field);
  object["acceptance_by_position"] = Json::array();
  for (const Measured& share : cell.acceptance_by_position) {
    object["acceptance_by_position"].push_back(measured_json(share));
  }
  return object;
}

Json op_json(const OpTiming& timing) {
  Json rates = Json::object();
  for (const auto& [method, rate] : timing.product.rates) rates[std::string(method)] = rate;
  return {{"op", timing.op.name},
          {"rows", timing.op.rows},
          {"cols", timing.op.cols},
          {"per_token", timing.op.per_token},
          {"weights", timed_format_name(timing.format)},
          {"product", timing.product.method.empty() ? Json() : Json(timing.product.method)},
          {"product_gflop_per_s", rates},
          {"decode_ms", measured_json(timing.decode_ms)},
          {"decode_gb_per_s", measured_json(timing.decode_gb_per_s)},
          {"share_of_bandwidth", measured_json(timing.share_of_bandwidth)},
          {"prefill_gflop_per_s", measured_json(timing.prefill_gflop_per_s)},
          {"share_of_matmul", measured_json(timing.share_of_matmul)}};
}

Json load_json(const LoadTimes& load) {
  return {{"cold_load_ms", measured_json(load.cold_load_ms)},
          {"warm_load_ms", measured_json(load.warm_load_ms)},
          {"cold_first_token_ms", measured_json(load.cold_first_token_ms)},
          {"warm_first_token_ms", measured_json(load.warm_first_token_ms)}};
}

Json difference_json(const Difference& d) {
  return {{"workload", d.workload},
          {"batch", d.batch},
          {"depth", d.depth},
          {"field", d.field},
          {"before", d.before},
          {"now", d.now},
          {"worse_percent", d.worse_percent},
          {"noise_percent", d.noise_percent}};
}

std::string csv_number(const std::optional<double>& value) {
  return value ? fmt::format("{}", *value) : "";
}

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

bool is_time(std::string_view field) { return field.ends_with("_ms") && field != "load_ms"; }

}  // namespace

Json report_json(const BenchReport& report) {
  Json object = {{"schema", "gemma4.bench/1"},
                 {"env", environment_json(report)},
                 {"limits", limits_json(report.limits)},
                 {"cells", Json::array()}};
  for (const BenchCell& cell : report.cells) object["cells"].push_back(cell_json(report, cell));
  for (const OpTiming& timing : report.ops) object["ops"].push_back(op_json(timing));
  if (report.load) object["load"] = load_json(*report.load);
  for (const Difference& d : report.differences) object["baseline"].push_back(difference_json(d));
  return object;
}

std::string report_jsonl(const BenchReport& report) {
  std::string lines = Json({{"schema", "gemma4.bench/1"},
                            {"env", environment_json(report)},
                            {"limits", limits_json(report.limits)}})
                          .dump() +
                      "\n";
  const auto add = [&](const Json& object) { lines += object.dump() + "\n"; };
  for (const BenchCell& cell : report.cells) add(cell_json(report, cell));
  for (const OpTiming& timing : report.ops) add(op_json(timing));
  if (report.load) add(load_json(*report.load));
  for (const Difference& d : report.differences) add(difference_json(d));
  return lines;
}

std::string report_csv(const BenchReport& report) {
  std::string text =
      "model,device,threads,cpu,busy,weights,lm_head,kv_cache_dtype,draft,draft_tokens,"
      "workload,batch,depth";
  for (const auto& [name, field] : kFields) {
    text += fmt::format(",{}", name);
    if (is_time(name)) text += fmt::format(",{}_p99,{}_mean", name, name);
  }
  text += ",acceptance_by_position,read_gb_per_s\n";
  for (const BenchCell& cell : report.cells) {
    text += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{}", csv_text(report.model),
                        csv_text(report.device), report.threads, csv_text(report.environment.cpu),
                        report.busy, report.weights, report.lm_head, report.kv_cache_dtype,
                        csv_text(report.draft), report.draft_tokens, cell.spec.workload.name,
                        cell.spec.batch, cell.spec.depth);
    for (const auto& [name, field] : kFields) {
      const Measured& m = cell.*field;
      text += "," + csv_number(m.median);
      if (is_time(name)) text += "," + csv_number(m.p99) + "," + csv_number(m.mean);
    }
    std::string positions;
    for (const Measured& share : cell.acceptance_by_position) {
      positions += (positions.empty() ? "" : " ") + csv_number(share.median);
    }
    text += "," + positions;
    text += "," + csv_number(report.limits.read_gb_per_s.median) + "\n";
  }
  return text;
}

}  // namespace gemma4
