#include "tools/completions.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

namespace gemma4 {
namespace {

constexpr const char* kOrigin = "Written by scripts/update_manual.sh from the program's own flags.";

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (size_t at = 0; (at = text.find(what, at)) != text.npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

std::string joined(const std::vector<std::string>& words, const char* separator = " ") {
  return fmt::format("{}", fmt::join(words, separator));
}

std::vector<std::string> names_of(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const CommandInfo& command : commands) {
    if (!command.name.empty()) names.push_back(command.name);
  }
  return names;
}

std::vector<std::string> spellings(const FlagInfo& flag) {
  std::vector<std::string> all = flag.names;
  all.insert(all.end(), flag.twins.begin(), flag.twins.end());
  return all;
}

// bash

// What completes the value of a flag, as shell commands.
std::string bash_values(const FlagInfo& flag) {
  std::string words;
  if (!flag.choices.empty()) words = fmt::format("-W '{}' ", joined(flag.choices));
  if (flag.paths == Paths::kFiles) return "_gemma4_paths " + words + "-f";
  if (flag.paths == Paths::kFolders) return "_gemma4_paths " + words + "-d";
  return words.empty() ? "" : "_gemma4_words " + words;
}

// "run --device|run --color) ..." for each way in which values are completed.
std::string bash_value_cases(const std::vector<CommandInfo>& commands) {
  std::map<std::string, std::vector<std::string>> patterns;
  for (const CommandInfo& command : commands) {
    for (const FlagInfo& flag : command.flags) {
      if (flag.value.empty()) continue;
      for (const std::string& name : flag.names) {
        patterns[bash_values(flag)].push_back(fmt::format("'{} {}'", command.name, name));
      }
    }
  }
  std::string cases;
  for (const auto& [action, names] : patterns) {
    cases += fmt::format("    {})\n      {}\n      return ;;\n", joined(names, " | \\\n    "),
                         action.empty() ? ":" : action);
  }
  return cases;
}

std::string bash_flag_cases(const std::vector<CommandInfo>& commands) {
  std::string cases;
  for (const CommandInfo& command : commands) {
    std::vector<std::string> words;
    for (const FlagInfo& flag : command.flags) {
      for (const std::string& name : spellings(flag)) words.push_back(name);
    }
    cases += fmt::format("      '{}') _gemma4_words -W '{}' ;;\n", command.name, joined(words));
  }
  return cases;
}

constexpr const char* kBash = R"(# Completion of gemma4 for bash. {origin}

_gemma4_words() {{
  mapfile -t COMPREPLY < <(compgen "$@" -- "$_gemma4_word")
}}

_gemma4_paths() {{
  compopt -o filenames 2>/dev/null
  _gemma4_words "$@"
}}

_gemma4() {{
  local _gemma4_word=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD - 1]}} command= i
  COMPREPLY=()
  # bash splits --flag=value into three words.
  if [[ $_gemma4_word == '=' ]]; then
    _gemma4_word=
  elif [[ $flag == '=' ]]; then
    flag=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${{COMP_WORDS[i]}} in
      {commands}) command=${{COMP_WORDS[i]}}; break ;;
    esac
  done
  case "$command $flag" in
{values}  esac
  if [[ $_gemma4_word == -* ]]; then
    case $command in
{flags}    esac
  elif [[ -z $command ]]; then
    _gemma4_words -W '{words}'
  else
    _gemma4_paths -f
  fi
}}

complete -F _gemma4 gemma4
)";

// zsh

// Text inside of [...] of a specification that stands in single quotes.
std::string zsh_text(const std::string& text) {
  std::string out = text;
  for (const char* special : {"\\", "[", "]", ":"}) {
    out = replaced(out, special, std::string("\\") + special);
  }
  return replaced(out, "'", "'\\''");
}

std::string zsh_values(const FlagInfo& flag) {
  if (flag.value.empty()) return "";
  std::string action;
  if (!flag.choices.empty()) action = "(" + joined(flag.choices) + ")";
  const std::string label = ":" + replaced(zsh_text(flag.value), "|", " or ") + ":";
  if (flag.paths == Paths::kNone) return label + action;
  const char* paths = flag.paths == Paths::kFiles ? "_files" : "_files -/";
  if (action.empty()) return label + paths;
  return label + "_alternative \"words\\:word\\:" + action + "\" \"paths\\:path\\:" + paths + "\"";
}

std::string zsh_flag(const FlagInfo& flag) {
  const std::vector<std::string> names = spellings(flag);
  const std::string rest = "[" + zsh_text(flag.help) + "]" + zsh_values(flag) + "'";
  const std::string repeat = flag.repeatable ? "*" : "(" + joined(names) + ")";
  if (names.size() == 1) return "'" + repeat + names[0] + rest;
  return "'" + repeat + "'{" + joined(names, ",") + "}'" + rest;
}

std::string zsh_arguments(const CommandInfo& command, const std::string& indent) {
  std::string out;
  for (const FlagInfo& flag : command.flags) out += " \\\n" + indent + zsh_flag(flag);
  return out;
}

std::string zsh_cases(const std::vector<CommandInfo>& commands) {
  std::string out;
  for (const CommandInfo& command : commands) {
    if (command.name.empty()) continue;
    out += fmt::format("        {}) _arguments -s{}{} ;;\n", command.name,
                       zsh_arguments(command, "          "),
                       command.arguments.empty() ? "" : " \\\n          '*:argument:_files'");
  }
  return out;
}

std::string zsh_commands(const std::vector<CommandInfo>& commands) {
  std::string out;
  for (const CommandInfo& command : commands) {
    if (command.name.empty()) continue;
    out += fmt::format("        '{}:{}'\n", command.name, zsh_text(command.description));
  }
  return out;
}

constexpr const char* kZsh = R"(#compdef gemma4
# Completion of gemma4 for zsh. {origin}

_gemma4() {{
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C{flags} \
    '1:command:->command' \
    '*::argument:->arguments'
  case $state in
    command)
      local -a commands=(
{commands}      )
      _describe command commands ;;
    arguments)
      case $words[1] in
{cases}      esac ;;
  esac
}}

_gemma4 "$@"
)";

// fish

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish_values(const FlagInfo& flag) {
  if (flag.value.empty()) return "";
  std::string words = joined(flag.choices);
  if (flag.paths == Paths::kFolders) {
    words += std::string(words.empty() ? "" : " ") + "(__fish_complete_directories)";
  }
  const std::string offered = words.empty() ? "" : " -a " + fish_quoted(words);
  return (flag.paths == Paths::kFiles ? " -r -F" : " -x") + offered;
}

std::string fish_lines(const CommandInfo& command) {
  const std::string where = command.name.empty()
                                ? "__fish_use_subcommand"
                                : fish_quoted("__fish_seen_subcommand_from " + command.name);
  std::string out;
  for (const FlagInfo& flag : command.flags) {
    std::string names;
    for (const std::string& name : spellings(flag)) {
      const bool is_long = name.starts_with("--");
      names += (is_long ? " -l " : " -s ") + name.substr(is_long ? 2 : 1);
    }
    out += fmt::format("complete -c gemma4 -n {}{}{} -d {}\n", where, names, fish_values(flag),
                       fish_quoted(flag.help));
  }
  return out;
}

}  // namespace

std::string bash_completion(const std::vector<CommandInfo>& commands) {
  const std::vector<std::string> names = names_of(commands);
  return fmt::format(fmt::runtime(kBash), fmt::arg("origin", kOrigin),
                     fmt::arg("commands", joined(names, " | ")), fmt::arg("words", joined(names)),
                     fmt::arg("values", bash_value_cases(commands)),
                     fmt::arg("flags", bash_flag_cases(commands)));
}

std::string zsh_completion(const std::vector<CommandInfo>& commands) {
  return fmt::format(fmt::runtime(kZsh), fmt::arg("origin", kOrigin),
                     fmt::arg("flags", zsh_arguments(commands.front(), "    ")),
                     fmt::arg("commands", zsh_commands(commands)),
                     fmt::arg("cases", zsh_cases(commands)));
}

std::string fish_completion(const std::vector<CommandInfo>& commands) {
  std::string out = fmt::format("# Completion of gemma4 for fish. {}\n\n", kOrigin);
  out += "complete -c gemma4 -n __fish_use_subcommand -f\n";
  for (const CommandInfo& command : commands) {
    if (command.name.empty()) continue;
    out += fmt::format("complete -c gemma4 -n __fish_use_subcommand -a {} -d {}\n", command.name,
                       fish_quoted(command.description));
  }
  for (const CommandInfo& command : commands) out += fish_lines(command);
  return out;
}

}  // namespace gemma4
