#include "tools/bench_baseline.h"

#include <cmath>

#include "lib/base/error.h"
#include "lib/base/log.h"

namespace gemma4 {
namespace {

struct ComparedField {
  const char* name;
  bool more_is_better;
};

constexpr ComparedField kCompared[] = {{"ttft_ms", false},
                                       {"tpot_ms", false},
                                       {"prefill_tokens_per_second", true},
                                       {"decode_tokens_per_second", true}};

// (standard deviation / mean)^2; 0 for fewer than two values.
double relative_variance(const Json& values) {
  double sum = 0.0;
  double squares = 0.0;
  for (const Json& value : values) {
    sum += value.get<double>();
    squares += value.get<double>() * value.get<double>();
  }
  const auto count = static_cast<double>(values.size());
  if (count < 2 || sum == 0.0) return 0.0;
  const double mean = sum / count;
  return std::max(0.0, (squares - sum * mean) / (count - 1)) / (mean * mean);
}

bool same_cell(const Json& a, const Json& b) {
  for (const char* key : {"workload", "batch", "depth", "weights", "kv_cache_dtype"}) {
    if (a.at(key) != b.at(key)) return false;
  }
  return true;
}

std::vector<Difference> compare_cells(const Json& before, const Json& now) {
  std::vector<Difference> differences;
  for (const ComparedField& field : kCompared) {
    const Json& old_field = before.at(field.name);
    const Json& new_field = now.at(field.name);
    if (!old_field.at("median").is_number() || !new_field.at("median").is_number()) continue;
    Difference d;
    d.workload = now.at("workload");
    d.batch = now.at("batch");
    d.depth = now.at("depth");
    d.field = field.name;
    d.before = old_field.at("median");
    d.now = new_field.at("median");
    if (d.before <= 0.0 || d.now <= 0.0) continue;
    d.worse_percent = 100.0 * (field.more_is_better ? d.before / d.now : d.now / d.before) - 100.0;
    d.noise_percent = 100.0 * std::sqrt(relative_variance(old_field.at("values")) +
                                        relative_variance(new_field.at("values")));
    differences.push_back(d);
  }
  return differences;
}

}  // namespace

std::vector<Difference> compare_reports(const Json& before, const Json& now,
                                        const std::string& origin) {
  std::vector<Difference> differences;
  try {
    if (before.at("schema") != now.at("schema")) {
      throw Error(ErrorKind::kInput, "not a report of the schema " + now.at("schema").dump(),
                  origin);
    }
    for (const char* key : {"model", "cpu", "threads", "device", "lm_head", "exact_activations",
                            "draft", "draft_tokens"}) {
      const Json& is = now.at("env").at(key);
      const Json was = before.at("env").value(key, is);  // older reports know no drafts
      if (was != is) {
        log_warning(std::string("the baseline has another ") + key + ": " +
                    printable(was.dump(), 80) + ", now " + is.dump());
      }
    }
    for (const Json& cell : now.at("cells")) {
      for (const Json& old_cell : before.at("cells")) {
        if (!same_cell(old_cell, cell)) continue;
        const auto more = compare_cells(old_cell, cell);
        differences.insert(differences.end(), more.begin(), more.end());
        break;
      }
    }
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kInput, "not a report of gemma4 bench --format json", origin);
  }
  if (differences.empty()) {
    throw Error(ErrorKind::kInput, "the baseline has no cell in common with this run", origin,
                "use the same workload, batch, depth, weights and KV format");
  }
  return differences;
}

}  // namespace gemma4
