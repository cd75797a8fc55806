// What main knows of a subcommand.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace gemma4 {

/// Its flags are defined when it is made; run() does the work when its name was given, and returns
/// the exit code.
class Subcommand {
 public:
  virtual ~Subcommand() = default;
  virtual int run() = 0;
};

std::unique_ptr<Subcommand> make_run(CLI::App& app);
std::unique_ptr<Subcommand> make_chat(CLI::App& app);
std::unique_ptr<Subcommand> make_transcribe(CLI::App& app);
std::unique_ptr<Subcommand> make_describe_image(CLI::App& app);
std::unique_ptr<Subcommand> make_quantize(CLI::App& app);
std::unique_ptr<Subcommand> make_pull(CLI::App& app);
std::unique_ptr<Subcommand> make_manual(CLI::App& app);
std::unique_ptr<Subcommand> make_bench(CLI::App& app);

}  // namespace gemma4
