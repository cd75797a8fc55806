// gemma4 quantize: a checkpoint with fewer bits, in the compressed-tensors format.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>

#include "lib/base/error.h"
#include "lib/base/parallel.h"
#include "lib/io/model_location.h"
#include "lib/io/share_files.h"
#include "lib/quant/quantize_checkpoint.h"
#include "tools/answer_json.h"
#include "tools/command_line.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/quantize_verify.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"
#include "tools/text_input.h"

namespace gemma4 {
namespace {

constexpr char kHelp[] =
    R"(SRC is a directory, a Hub id in the local cache, or an alias. DST is a new directory: it appears
whole, or not at all. vLLM and transformers load it too. A checkpoint trained for 4 bits (QAT) keeps
its own grid: nothing is rounded twice.

Examples:
  gemma4 quantize google/gemma-4-E2B-it e2b-w4a16 --scheme w4a16
  gemma4 quantize e4b e4b-int8 --scheme int8 --lm-head int8
  gemma4 quantize 12b 12b-w4a16 --scheme w4a16 --keep "re:.*layers.0..*" --dry-run
  gemma4 quantize e2b e2b-int8 --scheme int8 --verify @sample.txt --max-kl 0.005

)";

// Thrown by the progress callback to end the work.
struct Stopped {
  FinishReason reason;
};

class QuantizeCommand : public Subcommand {
 public:
  explicit QuantizeCommand(CLI::App& app);
  int run() override;

 private:
  QuantizeOptions options() const;
  int dry_run(const std::filesystem::path& source);
  void verify(const std::filesystem::path& source, const std::filesystem::path& written,
              const QuantizeReport& report);
  void print(const QuantizeReport& report, bool kept) const;

  std::string source_;
  std::string destination_;
  std::string scheme_;
  std::string rule_ = "auto";
  std::string lm_head_;
  int64_t group_size_ = 32;
  std::vector<std::string> keep_;
  int threads_ = 0;
  CLI::Option* verify_ = nullptr;
  std::string verify_text_;
  std::optional<double> max_kl_;
  std::optional<Verification> verification_;
  bool dry_run_ = false;
  bool json_ = false;
  bool force_ = false;
  bool quiet_ = false;
};

QuantizeCommand::QuantizeCommand(CLI::App& app) {
  app.add_option("SRC", source_, "the checkpoint to read")->required();
  app.add_option("DST", destination_, "the directory to write")->required();
  add_value(app, "--scheme", scheme_, "w4a16|int8", "4 bits in groups, or 8 bits a row")
      ->check(CLI::IsMember({"w4a16", "int8"}))
      ->required();
  add_value(app, "--group-size", group_size_, "N", "columns that share a scale (w4a16); default 32")
      ->transform(count_between(1, 1 << 20));
  add_value(app, "--rule", rule_, "auto|minmax|grid",
            "grid: the grid of a QAT checkpoint; auto: where there is one")
      ->check(CLI::IsMember({"auto", "minmax", "grid"}));
  add_list(
      app, "--keep", keep_, "PATTERN",
      "modules that stay as stored: a name, with * for any\ntext, or re:EXPRESSION (repeatable)");
  add_value(app, "--lm-head", lm_head_, "stored|int8|int4", "the output head; default: as stored")
      ->check(CLI::IsMember({"stored", "int8", "int4"}));
  verify_ = add_value(app, "--verify", verify_text_, "[TEXT]",
                      "compare weights and logits with the source, on TEXT, @FILE\nor a built-in "
                      "text; token ids where there is no tokenizer")
                ->expected(0, 1);
  add_value(app, "--max-kl", max_kl_, "X",
            "with --verify: keep nothing, exit 6, when the mean KL\ndivergence is above X nats")
      ->check(number_between(0, 1e6));
  add_switch(app, "--dry-run", dry_run_, "print what would be done, with sizes, and exit");
  add_switch(app, "--json", json_, "one JSON object on standard output");
  add_value(app, "-t,--threads", threads_, "N", "default: physical cores")
      ->transform(count_between(1, 1024));
  add_switch(app, "--force", force_, "replace DST; quantise experts too narrow for 4 bits");
  add_switch(app, "-q,--quiet", quiet_, "no progress, no report");
  app.footer(std::string(kHelp) + kExitCodesHelp);
}

QuantizeOptions QuantizeCommand::options() const {
  QuantizeOptions options;
  options.scheme = scheme_ == "int8" ? QuantizeScheme::kInt8 : QuantizeScheme::kW4A16;
  options.group_size = group_size_;
  options.rule = rule_ == "minmax" ? RoundingRule::kMinMax
                 : rule_ == "grid" ? RoundingRule::kGrid
                                   : RoundingRule::kAuto;
  options.keep = keep_;
  if (lm_head_ == "int8") options.lm_head = QuantizeScheme::kInt8;
  if (lm_head_ == "int4") options.lm_head = QuantizeScheme::kW4A16;
  options.force = force_;
  return options;
}

std::string mib(uint64_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1 << 20));
}

int QuantizeCommand::dry_run(const std::filesystem::path& source) {
  const QuantizePlan plan = plan_quantization(Checkpoint::open(source), options());
  Output out;
  if (json_) {
    Json tensors = Json::array();
    for (const PlannedTensor& tensor : plan.tensors) {
      tensors.push_back({{"name", tensor.source},
                         {"quantized", !tensor.matrices.empty()},
                         {"source_bytes", tensor.source_bytes},
                         {"output_bytes", tensor.output_bytes}});
    }
    out.write(json_line({{"source_bytes", plan.source_bytes},
                         {"output_bytes", plan.output_bytes},
                         {"quantized_matrices", plan.quantized_matrices},
                         {"tensors", tensors}}));
    return 0;
  }
  for (const PlannedTensor& tensor : plan.tensors) {
    if (tensor.matrices.empty()) continue;
    out.write(fmt::format("{}  {} -> {}\n", tensor.source, mib(tensor.source_bytes),
                          mib(tensor.output_bytes)));
  }
  out.write(fmt::format("{} matrices quantised, {} -> {}\n", plan.quantized_matrices,
                        mib(plan.source_bytes), mib(plan.output_bytes)));
  return 0;
}

// Throws Error(kAnswer) when the result is too far off, so that it is not kept.
void QuantizeCommand::verify(const std::filesystem::path& source,
                             const std::filesystem::path& written, const QuantizeReport& report) {
  if (verify_->count() == 0) return;
  StandardInput standard_input;
  const std::string text = text_or_file(verify_text_, standard_input);
  const StopSignals signals;
  Progress progress("verifying", !quiet_);
  verification_ = verify_quantized(source, written, report, valid_text(text, "--verify"), threads_,
                                   [&](int64_t done, int64_t total) {
                                     progress.update(done, total);
                                     if (const auto reason = signals.requested()) {
                                       throw Stopped{*reason};
                                     }
                                   });
  progress.clear();
  const double kl = verification_->logits.mean_kl;
  if (!max_kl_ || kl <= *max_kl_) return;
  print(report, false);
  throw Error(ErrorKind::kAnswer, fmt::format("the mean KL divergence is {:.6f}", kl), destination_,
              fmt::format("--max-kl allows {}; nothing was kept", *max_kl_));
}

void QuantizeCommand::print(const QuantizeReport& report, bool kept) const {
  if (json_) {
    Json modules = Json::array();
    for (const QuantizedModule& module : report.modules) {
      modules.push_back({{"name", module.name},
                         {"relative_error", module.relative_error},
                         {"on_grid", module.on_grid},
                         {"used_grid", module.used_grid}});
    }
    Json json = {{"destination", kept ? Json(destination_) : Json(nullptr)},
                 {"source_bytes", report.source_bytes},
                 {"output_bytes", report.output_bytes},
                 {"modules", modules}};
    if (verification_) json["verify"] = verification_json(*verification_);
    Output().write(json_line(json));
    return;
  }
  if (verification_) Output().write(verification_table(*verification_));
  if (quiet_ || report.modules.empty()) return;
  const auto worst = std::max_element(report.modules.begin(), report.modules.end(),
                                      [](const QuantizedModule& a, const QuantizedModule& b) {
                                        return a.relative_error < b.relative_error;
                                      });
  fmt::print(stderr, "{} matrices, {} -> {}; largest relative error {:.4f} ({})\n",
             report.modules.size(), mib(report.source_bytes), mib(report.output_bytes),
             worst->relative_error, worst->name);
}

int QuantizeCommand::run() {
  if (scheme_ == "int8" && (rule_ != "auto" || group_size_ != 32)) {
    throw Error(ErrorKind::kUsage, "--rule and --group-size are for --scheme w4a16");
  }
  if (max_kl_ && verify_->count() == 0) {
    throw Error(ErrorKind::kUsage, "--max-kl is for --verify");
  }
  if (dry_run_ && verify_->count() > 0) {
    throw Error(ErrorKind::kUsage, "--dry-run and --verify exclude each other");
  }
  if (threads_ > 0) set_num_threads(threads_);
  const std::filesystem::path source =
      locate_model(source_, {.share_dirs = share_dirs(), .needs_tokenizer = false});
  if (dry_run_) return dry_run(source);
  const StopSignals signals;
  Progress progress("quantising", !quiet_);
  try {
    const QuantizeReport report = quantize_checkpoint(
        source, destination_, options(),
        [&](const QuantizeProgress& state) {
          progress.update(static_cast<int64_t>(state.source_bytes_done),
                          static_cast<int64_t>(state.source_bytes));
          if (const auto reason = signals.requested()) throw Stopped{*reason};
        },
        [&](const std::filesystem::path& written, const QuantizeReport& done) {
          progress.clear();
          verify(source, written, done);
        });
    progress.clear();
    print(report, true);
  } catch (const Stopped& stopped) {
    return exit_code_of(stopped.reason);
  }
  return 0;
}

}  // namespace

std::unique_ptr<Subcommand> make_quantize(CLI::App& app) {
  return std::make_unique<QuantizeCommand>(app);
}

}  // namespace gemma4
