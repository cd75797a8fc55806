// The program: one subcommand a file; every error ends here, as one line and an exit code.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>

#include "lib/base/error.h"
#include "lib/runtime/engine.h"
#include "tools/command_line.h"
#include "tools/flags.h"
#include "tools/output.h"
#include "tools/subcommand.h"

namespace gemma4 {
namespace {

constexpr char kExamples[] =
    R"(Examples:
  gemma4 run -m e2b "Why is the sky blue?"
  git diff --staged | gemma4 run -s "Write a commit message." | git commit -F -
  gemma4 chat -m e4b
  gemma4 describe-image -m e2b photo.jpg
  gemma4 run --help

)";

// A file opened later must not take the place of a standard stream that the caller has closed.
// In its place, standard input is empty, and writing to standard output fails as it would have.
void fill_standard_descriptors() {
  for (int descriptor = 0; descriptor <= 2; ++descriptor) {
    if (::fcntl(descriptor, F_GETFD) < 0)
      ::open("/dev/null", descriptor == 2 ? O_WRONLY : O_RDONLY);
  }
}

struct NamedSubcommand {
  CLI::App* app;
  std::unique_ptr<Subcommand> subcommand;
};

NamedSubcommand add_subcommand(CLI::App& app, const char* name, const char* description,
                               const std::function<std::unique_ptr<Subcommand>(CLI::App&)>& make) {
  CLI::App* sub = app.add_subcommand(name, description);
  return {sub, make(*sub)};
}

int run_main(int argc, char** argv) {
  CLI::App app("gemma4 runs Gemma 4 models from their checkpoint directories.", "gemma4");
  use_help_style(app);
  app.footer(std::string(kExamples) + kExitCodesHelp);
  app.set_help_flag("-h,--help", "print this page");
  app.set_version_flag("-V,--version", version_text, "print version, backends and CPU features");
  app.require_subcommand(1);
  const NamedSubcommand subcommands[] = {
      add_subcommand(app, "run", "Answer one prompt, or a batch of them.", make_run),
      add_subcommand(app, "chat", "Talk with the model.", make_chat),
      add_subcommand(app, "transcribe", "Write down what is said in recordings.", make_transcribe),
      add_subcommand(app, "describe-image", "Say what pictures show.", make_describe_image),
      add_subcommand(app, "quantize", "Write a checkpoint with fewer bits.", make_quantize),
      add_subcommand(app, "pull", "Download a model from the Hub.", make_pull),
      add_subcommand(app, "manual", "Write manual pages and completions.", make_manual),
      add_subcommand(app, "bench", "Measure speed, against the machine's limits.", make_bench)};
  const CLI::App* named = &app;
  try {
    if (argc < 2) {
      std::fputs(app.help().c_str(), stderr);
      return static_cast<int>(ErrorKind::kUsage);
    }
    app.parse(protect_arguments(argc, argv));
  } catch (const CLI::CallForVersion&) {
    Output().write(version_text());
    return 0;
  } catch (const CLI::CallForHelp&) {
    for (const CLI::App* sub : app.get_subcommands()) named = sub;
    Output().write(named->help(named == &app ? "" : "gemma4"));
    return 0;
  } catch (const CLI::ParseError& error) {
    for (const CLI::App* sub : app.get_subcommands()) named = sub;
    const std::string where = named == &app ? "gemma4" : "gemma4 " + named->get_name();
    throw Error(ErrorKind::kUsage, error.what(), {}, "see " + where + " --help");
  }
  for (const NamedSubcommand& candidate : subcommands) {
    if (candidate.app->parsed()) return candidate.subcommand->run();
  }
  return static_cast<int>(ErrorKind::kInternal);
}

int report(const char* message, int code) {
  std::fprintf(stderr, "gemma4: %s\n", message);
  return code;
}

}  // namespace
}  // namespace gemma4

int main(int argc, char** argv) {
  using gemma4::ErrorKind;
  gemma4::fill_standard_descriptors();
  ::signal(SIGPIPE, SIG_IGN);
  // Only the character set: numbers are written the same everywhere.
  if (std::setlocale(LC_CTYPE, "") == nullptr || MB_CUR_MAX == 1) {
    std::setlocale(LC_CTYPE, "C.UTF-8");
  }
  try {
    return gemma4::run_main(argc, argv);
  } catch (const gemma4::ClosedPipe&) {
    return 0;
  } catch (const gemma4::Error& error) {
    return gemma4::report(error.what(), error.exit_code());
  } catch (const std::bad_alloc&) {
    return gemma4::report("out of memory; use a smaller model or a shorter --context",
                          static_cast<int>(ErrorKind::kResource));
  } catch (const std::exception& error) {
    return gemma4::report(error.what(), static_cast<int>(ErrorKind::kInternal));
  }
}
