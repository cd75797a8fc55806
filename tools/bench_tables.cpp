#include "tools/bench_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gemma4 {
namespace {

using Row = std::vector<std::string>;

std::string number(const std::optional<double>& value, int digits, double factor = 1.0) {
  return value ? fmt::format("{:.{}f}", *value * factor, digits) : "-";
}

std::string percent(const Measured& share) {
  return share.median ? fmt::format("{:.0f} %", 100.0 * *share.median) : "-";
}

// The first column is text, the others are numbers; the first row is the heading.
std::string table(const std::vector<Row>& rows, bool markdown) {
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line = markdown ? "|" : "";
    for (size_t i = 0; i < widths.size(); ++i) {
      const std::string cell = i == 0 ? fmt::format("{:<{}}", rows[r][i], widths[i])
                                      : fmt::format("{:>{}}", rows[r][i], widths[i]);
      line += markdown ? " " + cell + " |" : (i == 0 ? "" : "  ") + cell;
    }
    text += line + "\n";
    if (!markdown || r > 0) continue;
    text += "|";
    for (size_t i = 0; i < widths.size(); ++i) {
      text += i == 0 ? " " + std::string(widths[i], '-') + " |"
                     : " " + std::string(widths[i] - 1, '-') + ": |";
    }
    text += "\n";
  }
  return text + "\n";
}

std::string heading(const BenchReport& report, bool markdown) {
  const Environment& e = report.environment;
  const char* item = markdown ? "- " : "";
  std::string text;
  if (!report.model.empty()) {
    text += fmt::format(
        "{}model: {} ({}), weights {}, head {}, KV {}{}{}\n", item, report.model, report.model_hash,
        report.weights, report.lm_head, report.kv_cache_dtype,
        report.exact_activations ? ", exact activations" : "",
        report.draft_tokens.empty()
            ? ""
            : fmt::format(", drafts {} of {} tokens", report.draft, report.draft_tokens));
  }
  text += fmt::format("{}machine: {}, {} cores, {:.0f} MHz; {}\n", item, e.cpu, e.cores,
                      e.clock_mhz, e.cpu_features);
  text += fmt::format("{}gemma4 {} on {}, device {}, {} threads\n", item, e.version, e.system,
                      report.device, report.threads);
  text +=
      fmt::format("{}others keep {:.1f} cores busy, load {:.1f}{}\n", item, e.busy_cores,
                  e.load_average, report.busy ? ": BUSY MACHINE, these times are too long" : "");
  text += fmt::format("{}limits: read {} GB/s; products", item,
                      number(report.limits.read_gb_per_s.median, 1));
  for (const auto& [format, rate] : report.limits.matmul_gflop_per_s) {
    text += fmt::format(" {} {}", timed_format_name(format), number(rate.median, 0));
  }
  return text + " Gop/s\n\n";
}

std::string cell_title(const char* what, const BenchCellSpec& spec, bool markdown) {
  return fmt::format("{}{} {} x{} at {}: ", markdown ? "- " : "", what, spec.workload.name,
                     spec.batch, spec.depth);
}

// Nothing without drafts.
std::string drafts_line(const BenchCell& cell, bool markdown) {
  if (!cell.accepted_length.median) return {};
  std::string text = cell_title("drafts", cell.spec, markdown);
  text += fmt::format("accepted length {}, by position", number(cell.accepted_length.median, 2));
  for (const Measured& share : cell.acceptance_by_position) {
    text += " " + number(share.median, 0, 100.0);
  }
  return text + fmt::format(" %, speed-up {}\n", number(cell.speed_up.median, 2));
}

// Nothing unless the model writes blocks.
std::string blocks_line(const BenchCell& cell, bool markdown) {
  if (!cell.steps_per_block.median) return {};
  return cell_title("blocks", cell.spec, markdown) +
         fmt::format("the first after {} ms, {} steps a block\n", number(cell.ttft_ms.median, 1),
                     number(cell.steps_per_block.mean, 1));
}

Row cell_name(const BenchCellSpec& spec) {
  return {spec.workload.name, std::to_string(spec.batch), std::to_string(spec.depth)};
}

std::string cells_table(const BenchReport& report, bool markdown) {
  std::vector<Row> rows = {{"workload", "batch", "depth", "TTFT ms", "TPOT ms", "ITL ms", "ITL p99",
                            "prefill tok/s", "decode tok/s", "req/s", "peak GiB", "load ms"}};
  std::string roofline;
  std::string decoding;  // in other ways than token by token
  for (const BenchCell& cell : report.cells) {
    Row row = cell_name(cell.spec);
    for (std::string figure :
         {number(cell.ttft_ms.median, 1), number(cell.tpot_ms.median, 2),
          number(cell.itl_ms.median, 2), number(cell.itl_ms.p99, 2),
          number(cell.prefill_tokens_per_second.median, 1),
          number(cell.decode_tokens_per_second.median, 2),
          number(cell.request_throughput.median, 3),
          number(cell.peak_rss_bytes.median, 2, 1.0 / (1 << 30)), number(cell.load_ms.median, 0)}) {
      row.push_back(std::move(figure));
    }
    rows.push_back(std::move(row));
    decoding += drafts_line(cell, markdown) + blocks_line(cell, markdown);
    if (!cell.share_of_bandwidth.median && !cell.share_of_matmul.median) continue;
    roofline += cell_title("roofline", cell.spec, markdown);
    if (cell.share_of_bandwidth.median) {
      const double bytes = *cell.bytes_per_token.median;
      roofline += fmt::format("{:.3f} GB a token, {:.1f} GB/s, {} of the read bandwidth; ",
                              bytes * 1e-9, bytes * 1e-9 * *cell.decode_tokens_per_second.median,
                              percent(cell.share_of_bandwidth));
    }
    roofline += fmt::format("prompt {} of the matrix rate\n", percent(cell.share_of_matmul));
  }
  return table(rows, markdown) + roofline + decoding + "\n";
}

std::string ops_table(const BenchReport& report, bool markdown) {
  std::vector<Row> rows = {{"operation", "rows", "cols", "per token", "weights", "product", "ms",
                            "GB/s", "of bandwidth", "Gop/s at 512", "of matrix rate"}};
  std::string choice;
  for (const OpTiming& t : report.ops) {
    if (choice.empty() && !t.product.rates.empty()) {
      choice = fmt::format("{}one thread's products of bf16, Gop/s:", markdown ? "- " : "");
      for (const auto& [method, rate] : t.product.rates) {
        choice += fmt::format(" {} {:.0f}", method, rate);
      }
      choice += fmt::format("; used: {}\n\n", t.product.method);
    }
    rows.push_back({t.op.name, std::to_string(t.op.rows), std::to_string(t.op.cols),
                    std::to_string(t.op.per_token), std::string(timed_format_name(t.format)),
                    t.product.method.empty() ? "-" : std::string(t.product.method),
                    number(t.decode_ms.median, 3), number(t.decode_gb_per_s.median, 1),
                    percent(t.share_of_bandwidth), number(t.prefill_gflop_per_s.median, 0),
                    percent(t.share_of_matmul)});
  }
  return table(rows, markdown) + choice;
}

std::string load_table(const LoadTimes& load, bool markdown) {
  return table(
      {{"start", "load ms", "first token ms"},
       {"cold", number(load.cold_load_ms.median, 0), number(load.cold_first_token_ms.median, 0)},
       {"warm", number(load.warm_load_ms.median, 0), number(load.warm_first_token_ms.median, 0)}},
      markdown);
}

std::string differences_table(const std::vector<Difference>& differences, bool markdown) {
  std::vector<Row> rows = {
      {"workload", "batch", "depth", "field", "before", "now", "change", "noise"}};
  for (const Difference& d : differences) {
    rows.push_back({d.workload, std::to_string(d.batch), std::to_string(d.depth), d.field,
                    fmt::format("{:.2f}", d.before), fmt::format("{:.2f}", d.now),
                    fmt::format("{:.1f} % {}", std::abs(d.worse_percent),
                                d.worse_percent > 0.0 ? "worse" : "better"),
                    fmt::format("{:.1f} %", d.noise_percent)});
  }
  return table(rows, markdown);
}

}  // namespace

std::string report_table(const BenchReport& report, bool markdown) {
  std::string text = heading(report, markdown);
  if (!report.cells.empty()) text += cells_table(report, markdown);
  if (!report.ops.empty()) text += ops_table(report, markdown);
  if (report.load) text += load_table(*report.load, markdown);
  if (!report.differences.empty()) text += differences_table(report.differences, markdown);
  text.pop_back();  // the last empty line
  return text;
}

std::string report_vllm(const BenchReport& report) {
  std::string text = heading(report, false);
  const auto line = [&](const char* label, const std::string& value) {
    text += fmt::format("{:<40} {:<10}\n", label, value);
  };
  const auto times = [&](const char* title, const char* name, const Measured& m) {
    text += fmt::format("{:-^50}\n", title);
    line(fmt::format("Mean {} (ms):", name).c_str(), number(m.mean, 2));
    line(fmt::format("Median {} (ms):", name).c_str(), number(m.median, 2));
    line(fmt::format("P99 {} (ms):", name).c_str(), number(m.p99, 2));
  };
  for (const BenchCell& cell : report.cells) {
    const auto requests = static_cast<double>(cell.ttft_ms.values.size());
    const double in = requests * static_cast<double>(cell.spec.workload.input);
    const double out = requests * static_cast<double>(cell.spec.workload.output);
    text += fmt::format("{:=^50}\n", " Serving Benchmark Result ");
    line("Workload:", fmt::format("{} at depth {}", cell.spec.workload.name, cell.spec.depth));
    line("Successful requests:", number(requests, 0));
    line("Maximum request concurrency:", std::to_string(cell.spec.batch));
    line("Benchmark duration (s):", number(cell.seconds, 2));
    line("Total input tokens:", number(in, 0));
    line("Total generated tokens:", number(out, 0));
    line("Request throughput (req/s):", number(requests / cell.seconds, 2));
    line("Output token throughput (tok/s):", number(out / cell.seconds, 2));
    line("Total Token throughput (tok/s):", number((in + out) / cell.seconds, 2));
    times("Time to First Token", "TTFT", cell.ttft_ms);
    times("Time per Output Token (excl. 1st token)", "TPOT", cell.tpot_ms);
    times("Inter-token Latency", "ITL", cell.itl_ms);
    text += std::string(50, '=') + "\n";
  }
  return text;
}

}  // namespace gemma4
