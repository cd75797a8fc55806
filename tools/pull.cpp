// gemma4 pull: a checkpoint from the Hub into the local Hub cache.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/io/hub_pull.h"
#include "tools/answer_json.h"
#include "tools/command_line.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/progress.h"
#include "tools/stop_signals.h"
#include "tools/subcommand.h"

namespace gemma4 {
namespace {

constexpr char kHelp[] =
    R"(Downloads a checkpoint into the local Hub cache, where -m ID finds it, and prints its folder. ID is
org/name or an alias (e2b e4b 12b 26b-a4b 31b). This is the one command that uses the network.
Files are checked by their checksums, and the model appears when all are there. A pull that was cut
off goes on where it stopped when it is given again.

Examples:
  gemma4 pull google/gemma-4-E2B-it
  gemma4 pull e4b --dry-run
  gemma4 pull google/gemma-4-E2B-it@main --include "*.json" --include "*.jinja"
  HF_TOKEN=hf_... gemma4 pull 12b && gemma4 chat -m 12b

Exit codes: 0 done, 1 internal failure, 2 usage, 3 not on the Hub, access refused or a wrong
checksum, 4 token file, 5 disk full or network failure, 130 interrupted, 143 terminated.)";

class PullCommand : public Subcommand {
 public:
  explicit PullCommand(CLI::App& app);
  int run() override;

 private:
  HubModel model() const;
  HubServer server() const;
  void print(const PullOptions& options, const PullPlan& plan) const;

  std::string id_;
  std::string revision_;
  std::vector<std::string> include_;
  std::string token_file_;
  std::string endpoint_;
  int jobs_ = 4;
  bool dry_run_ = false;
  bool json_ = false;
  bool quiet_ = false;
};

PullCommand::PullCommand(CLI::App& app) {
  CLI::Option* id = app.add_option("ID[@REV]", id_, "org/name or an alias, and a revision of it");
  id->required()->option_text(" ");
  accept_words(*id);
  add_list(app, "--include", include_, "PATTERN",
           "only files whose name matches, * for any text (repeatable);\n"
           "default: *.safetensors *.json *.jinja *.model");
  add_value(app, "--revision", revision_, "REV", "branch, tag or commit; default: main");
  add_value(app, "--token-file", token_file_, "FILE",
            "holds the access token; default: $HF_TOKEN, else\n$HF_HOME/token");
  add_value(app, "--jobs", jobs_, "N", "files at a time; default 4")
      ->transform(count_between(1, 64));
  add_value(app, "--endpoint", endpoint_, "URL",
            "the Hub; default: $HF_ENDPOINT, else\nhttps://huggingface.co");
  add_switch(app, "--dry-run", dry_run_, "print the files with their sizes, and exit");
  add_switch(app, "--json", json_, "one JSON object on standard output");
  add_switch(app, "-q,--quiet", quiet_, "no warnings, no progress");
  app.footer(kHelp);
}

HubModel PullCommand::model() const {
  if (id_ == "demo") throw Error(ErrorKind::kUsage, "the demo model comes with the program", id_);
  std::optional<HubModel> model = parse_hub_model(id_);
  if (!model) {
    throw Error(ErrorKind::kUsage, "not the name of a model on the Hub", id_,
                "give org/name[@revision], or one of " + std::string(hub_alias_list()));
  }
  if (revision_.empty()) return *model;
  if (!model->revision.empty()) {
    throw Error(ErrorKind::kUsage, "--revision and @REV exclude each other");
  }
  if (!is_hub_revision(revision_)) {
    throw Error(ErrorKind::kUsage, "not a revision", revision_, "give a branch, tag or commit");
  }
  model->revision = revision_;
  return *model;
}

HubServer PullCommand::server() const {
  HubServer server{checked_endpoint(endpoint_.empty() ? hub_endpoint() : endpoint_),
                   hub_token(token_file_)};
  if (!server.token.empty() && !may_carry_token(server.endpoint)) {
    log_warning("the token is not sent, since the endpoint is not https: " + server.endpoint);
    server.token.clear();
  }
  return server;
}

std::string megabytes(uint64_t bytes) {
  return fmt::format("{:.1f} MB", static_cast<double>(bytes) / 1e6);
}

void PullCommand::print(const PullOptions& options, const PullPlan& plan) const {
  Output out;
  if (json_) {
    Json files = Json::array();
    for (const PlannedFile& planned : plan.files) {
      files.push_back({{"name", planned.file.name},
                       {"bytes", *planned.file.size},
                       {"digest", planned.file.digest},
                       {"present", planned.present}});
    }
    out.write(json_line({{"id", options.model.id},
                         {"revision", options.model.wanted()},
                         {"commit", plan.commit},
                         {"directory", plan.snapshot().string()},
                         {"total_bytes", plan.total_bytes},
                         {"download_bytes", plan.missing_bytes},
                         {"files", files}}));
    return;
  }
  if (!dry_run_) return out.write(plan.snapshot().string() + "\n");
  for (const PlannedFile& planned : plan.files) {
    out.write(fmt::format("{:>12}  {}{}\n", megabytes(*planned.file.size), planned.file.name,
                          planned.present ? "  (present)" : ""));
  }
  out.write(fmt::format("{} files, {}, {} to download\n", plan.files.size(),
                        megabytes(plan.total_bytes), megabytes(plan.missing_bytes)));
}

int PullCommand::run() {
  if (quiet_) set_log_level(LogLevel::kQuiet);
  const StopSignals signals;
  const PullOptions options{
      .model = model(), .server = server(), .include = include_, .jobs = jobs_, .stopped = [&] {
        return signals.requested().has_value();
      }};
  Progress progress("pulling " + options.model.id, !quiet_);
  try {
    const PullPlan plan = plan_pull(options);
    if (!dry_run_) {
      pull(options, plan, [&](uint64_t done, uint64_t bytes) {
        progress.update(static_cast<int64_t>(done), static_cast<int64_t>(bytes),
                        megabytes(done) + " of " + megabytes(bytes));
      });
    }
    progress.clear();
    print(options, plan);
  } catch (const HubStopped&) {
    progress.clear();
    if (!quiet_) {
      std::fputs("gemma4: stopped; the same command goes on from here\n", stderr);
    }
    return exit_code_of(signals.requested().value_or(FinishReason::kInterrupted));
  }
  return 0;
}

}  // namespace

std::unique_ptr<Subcommand> make_pull(CLI::App& app) { return std::make_unique<PullCommand>(app); }

}  // namespace gemma4
