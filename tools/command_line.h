// Pieces that every subcommand defines its flags with: switches with a --no- twin, values, lists,
// units, and the look of the help pages.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace gemma4 {

/// The arguments as CLI11 is to see them. A word like "[1, 2]" is a word: CLI11 would split it into
/// a list, so it is marked here, and the functions below take the mark off.
std::vector<std::string> protect_arguments(int argc, char** argv);

/// `names`: "-q,--quiet" or "--think". The twin --no-quiet, --no-think comes with it; the last one
/// given wins.
CLI::Option* add_switch(CLI::App& app, const std::string& names, bool& value,
                        const std::string& help);

/// Takes the mark off the words of an option.
void accept_words(CLI::Option& option);

/// An option with one value; the last one given wins. `shown`: the value's name in the help.
template <typename T>
CLI::Option* add_value(CLI::App& app, const std::string& names, T& value, const std::string& shown,
                       const std::string& help) {
  CLI::Option* option = app.add_option(names, value, help);
  option->take_last()->option_text(shown);
  accept_words(*option);
  return option;
}

/// An option that may be repeated, one value each time.
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& values,
                      const std::string& shown, const std::string& help);

/// All words that are not options.
CLI::Option* add_words(CLI::App& app, const std::string& name, std::vector<std::string>& words,
                       const std::string& help);

/// A whole number in [minimum, maximum], with k, m, g for 2^10, 2^20, 2^30: "8k" is 8192.
CLI::Validator count_between(int64_t minimum, int64_t maximum);
/// A finite number in [minimum, maximum].
CLI::Validator number_between(double minimum, double maximum);
/// A length of time in [minimum, maximum] seconds, as a number of seconds: "90", "90s", "1.5m",
/// "2h", "1:30", "1:02:03.5".
CLI::Validator seconds_between(double minimum, double maximum);

/// The look of --help: "-q, --[no-]quiet".
void use_help_style(CLI::App& app);

}  // namespace gemma4
