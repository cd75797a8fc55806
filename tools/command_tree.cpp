#include "tools/command_tree.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "lib/base/error.h"

namespace gemma4 {
namespace {

using Words = std::vector<std::string>;

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Words split(const std::string& text, char separator) {
  Words words;
  std::istringstream stream(text);
  for (std::string word; std::getline(stream, word, separator);) words.push_back(word);
  return words;
}

// What CLI::IsMember accepts; it describes itself as "{auto,cpu}".
Words accepted_words(CLI::Option& option) {
  try {
    for (int i = 0;; ++i) {
      const std::string description = option.get_validator(i)->get_description();
      if (description.starts_with('{') && description.ends_with('}')) {
        return split(description.substr(1, description.size() - 2), ',');
      }
    }
  } catch (const CLI::OptionNotFound&) {
    return {};  // there are no more validators
  }
}

// "off|auto|MODEL|ngram": the words in it that stand for themselves.
Words shown_words(const std::string& shown) {
  if (shown.find('|') == shown.npos) return {};
  Words words;
  for (const std::string& word : split(shown, '|')) {
    const bool stands_for_itself = std::none_of(word.begin(), word.end(), [](char c) {
      return (c >= 'A' && c <= 'Z') || c == '@' || c == '/';
    });
    if (stands_for_itself) words.push_back(word);
  }
  return words;
}

Words choices_of(CLI::Option& option, const std::string& shown) {
  Words accepted = accepted_words(option);
  const Words words = shown_words(shown);
  if (accepted.empty() || words.empty()) return accepted.empty() ? words : accepted;
  const auto sorted = [](Words list) {
    std::sort(list.begin(), list.end());
    return list;
  };
  if (sorted(accepted) != sorted(words)) {
    throw Error(ErrorKind::kInternal, "the help shows other values than the flag takes",
                option.get_name());
  }
  return words;
}

Paths paths_of(const std::string& shown) {
  const auto names = [&](const char* word) { return shown.find(word) != shown.npos; };
  if (names("FILE")) return Paths::kFiles;
  return names("DIR") || names("MODEL") ? Paths::kFolders : Paths::kNone;
}

FlagInfo flag_info(CLI::Option& option) {
  FlagInfo flag;
  for (const std::string& name : option.get_snames()) flag.names.push_back("-" + name);
  const Words& names = option.get_lnames();
  for (const std::string& name : names) {
    const bool is_twin =
        name.starts_with("no-") && std::count(names.begin(), names.end(), name.substr(3)) > 0;
    (is_twin ? flag.twins : flag.names).push_back("--" + name);
  }
  flag.group = option.get_group();
  flag.help = one_line(option.get_description());
  if (option.get_items_expected_max() > 0) {
    flag.value = option.get_option_text();
    if (flag.value.empty()) flag.value = option.get_type_name();
    flag.repeatable = option.get_expected_max() > 1;
    flag.choices = choices_of(option, flag.value);
    flag.paths = paths_of(flag.value);
  }
  return flag;
}

FlagInfo argument_info(const CLI::Option& option) {
  FlagInfo argument;
  argument.names = {option.get_name(true, false)};
  argument.help = one_line(option.get_description());
  argument.repeatable = option.get_expected_max() > 1;
  argument.paths = Paths::kFiles;  // or words: then nothing is lost
  return argument;
}

// Notes, then "Examples:" and its lines, then "Exit codes: ...".
void read_footer(const std::string& footer, CommandInfo& command) {
  constexpr std::string_view kExamples = "Examples:\n";
  constexpr std::string_view kExitCodes = "Exit codes: ";
  std::string* part = &command.notes;
  for (const std::string& line : split(footer, '\n')) {
    if (line + "\n" == kExamples) {
      part = &command.examples;
    } else if (line.starts_with(kExitCodes)) {
      part = &command.exit_codes;
      *part = line.substr(kExitCodes.size()) + "\n";
    } else {
      *part += line + "\n";
    }
  }
  for (std::string* text : {&command.notes, &command.examples, &command.exit_codes}) {
    while (text->ends_with("\n")) text->pop_back();
  }
}

CommandInfo command_info(CLI::App& app, const std::string& parent) {
  CommandInfo command;
  if (!parent.empty()) command.name = app.get_name();
  command.description = app.get_description();
  constexpr std::string_view kUsage = "Usage: ";
  for (const std::string& line : split(app.help(parent), '\n')) {
    if (line.starts_with(kUsage)) command.usage = line.substr(kUsage.size());
  }
  for (CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      command.arguments.push_back(argument_info(*option));
    } else if (!option->get_group().empty()) {
      command.flags.push_back(flag_info(*option));
    }
  }
  read_footer(app.get_footer(), command);
  return command;
}

}  // namespace

std::vector<CommandInfo> command_tree(CLI::App& program) {
  std::vector<CommandInfo> commands = {command_info(program, "")};
  for (CLI::App* app : program.get_subcommands([](const CLI::App*) { return true; })) {
    if (!app->get_group().empty()) commands.push_back(command_info(*app, program.get_name()));
  }
  return commands;
}

}  // namespace gemma4
