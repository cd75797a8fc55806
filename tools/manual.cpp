// gemma4 manual: writes the manual pages and the shells' completions. Not shown in the help: it is
// for scripts/update_manual.sh and the test that compares.

#include <CLI/CLI.hpp>
#include <filesystem>

#include "lib/base/error.h"
#include "lib/io/atomic_file.h"
#include "lib/io/json.h"
#include "tools/command_line.h"
#include "tools/command_tree.h"
#include "tools/completions.h"
#include "tools/man_page.h"
#include "tools/subcommand.h"

namespace gemma4 {
namespace {

namespace fs = std::filesystem;

class ManualCommand : public Subcommand {
 public:
  explicit ManualCommand(CLI::App& app);
  int run() override;

 private:
  std::string sections_for(const std::string& page) const;

  CLI::App& app_;
  std::string sections_;
  std::string destination_;
};

ManualCommand::ManualCommand(CLI::App& app) : app_(app) {
  app.group("");  // hidden
  app.add_option("SECTIONS", sections_, "folder of sections by hand")->required();
  app.add_option("DST", destination_, "gets man/ and completions/")->required();
}

// What is written by hand for a page, and for every page.
std::string ManualCommand::sections_for(const std::string& page) const {
  std::string text;
  for (const std::string& name : {page, std::string("common")}) {
    const fs::path file = fs::path(sections_) / (name + ".roff");
    std::error_code ec;
    if (fs::exists(file, ec)) text += read_file(file, ErrorKind::kInput);
  }
  return text;
}

int ManualCommand::run() {
  const std::vector<CommandInfo> commands = command_tree(*app_.get_parent());
  const fs::path destination(destination_);
  std::error_code ec;
  for (const char* folder : {"man", "completions"}) {
    fs::create_directories(destination / folder, ec);
  }
  for (const CommandInfo& command : commands) {
    write_file_atomically(destination / "man" / (command.page() + ".1"),
                          man_page(command, commands, sections_for(command.page())));
  }
  write_file_atomically(destination / "completions/gemma4.bash", bash_completion(commands));
  write_file_atomically(destination / "completions/_gemma4", zsh_completion(commands));
  write_file_atomically(destination / "completions/gemma4.fish", fish_completion(commands));
  return 0;
}

}  // namespace

std::unique_ptr<Subcommand> make_manual(CLI::App& app) {
  return std::make_unique<ManualCommand>(app);
}

}  // namespace gemma4
