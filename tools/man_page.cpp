#include "tools/man_page.h"

#include <fmt/format.h>

#include <algorithm>

namespace gemma4 {
namespace {

std::string bold(std::string_view text) { return "\\fB" + roff_text(text) + "\\fR"; }

// Names of values stand in italics, words to be typed in bold: "auto|MODEL|ngram".
std::string value_text(std::string_view shown) {
  std::string out;
  while (!shown.empty()) {
    const size_t end = std::min(shown.find('|'), shown.size());
    const std::string_view word = shown.substr(0, end);
    const bool is_name =
        std::any_of(word.begin(), word.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    out += is_name ? "\\fI" + roff_text(word) + "\\fR" : bold(word);
    if (end < shown.size()) out += "|";
    shown.remove_prefix(std::min(end + 1, shown.size()));
  }
  return out;
}

// "Answer one prompt." -> "answer one prompt"; a name that begins it stays.
std::string summary(std::string text) {
  if (text.ends_with('.')) text.pop_back();
  if (text.size() > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a') {
    text[0] = static_cast<char>(text[0] + 32);
  }
  return text;
}

std::string as_written(const std::string& text) {
  return text.empty() ? "" : ".nf\n" + roff_text(text) + "\n.fi\n";
}

std::string paragraphs(const std::string& text) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find("\n\n", begin), text.size());
    const std::string paragraph = text.substr(begin, end - begin);
    out += ".PP\n";
    const bool keeps_lines = paragraph.find("\n ") != paragraph.npos || paragraph.starts_with(' ');
    out += keeps_lines ? as_written(paragraph) : roff_text(paragraph) + "\n";
    begin = end + 2;
  }
  return out;
}

std::string flag_entry(const FlagInfo& flag) {
  std::string names;
  for (const std::string& name : flag.names) {
    if (!names.empty()) names += ", ";
    const std::string twin = "--no-" + name.substr(std::min<size_t>(2, name.size()));
    const bool has_twin = std::count(flag.twins.begin(), flag.twins.end(), twin) > 0;
    names += bold(has_twin ? "--[no-]" + name.substr(2) : name);
  }
  if (!flag.value.empty()) names += " " + value_text(flag.value);
  return ".TP\n" + names + "\n" + roff_text(flag.help) + "\n";
}

std::string options(const CommandInfo& command) {
  std::string out = ".SH OPTIONS\n";
  std::vector<std::string> groups;
  for (const FlagInfo& flag : command.flags) {
    if (std::count(groups.begin(), groups.end(), flag.group) == 0) groups.push_back(flag.group);
  }
  for (const std::string& group : groups) {
    if (groups.size() > 1) out += ".SS " + roff_text(group) + "\n";
    for (const FlagInfo& flag : command.flags) {
      if (flag.group == group) out += flag_entry(flag);
    }
  }
  return out;
}

}  // namespace

std::string roff_text(std::string_view text) {
  std::string out;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) out += "\\&";
    line_begins = c == '\n';
    switch (c) {
      case '\\':
        out += "\\e";
        break;
      case '-':
        out += "\\-";
        break;
      case '\'':
        out += "\\(aq";
        break;
      case '`':
        out += "\\(ga";
        break;
      case '^':
        out += "\\(ha";
        break;
      case '~':
        out += "\\(ti";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string man_page(const CommandInfo& command, const std::vector<CommandInfo>& all,
                     const std::string& sections) {
  std::string title = command.page();
  for (char& c : title) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  }
  std::string out = ".\\\" Written by scripts/update_manual.sh; sections by hand: man/sections\n";
  out += fmt::format(".TH {} 1 \"\" gemma4 \"User Commands\"\n", roff_text(title));
  out += fmt::format(".SH NAME\n{} \\- {}\n", roff_text(command.page()),
                     roff_text(summary(command.description)));
  out += ".SH SYNOPSIS\n" + bold(command.name.empty() ? "gemma4" : "gemma4 " + command.name);
  const std::string typed = command.name.empty() ? "gemma4" : "gemma4 " + command.name;
  out += roff_text(command.usage.substr(std::min(typed.size(), command.usage.size()))) + "\n";
  out += ".SH DESCRIPTION\n" + roff_text(command.description) + "\n" + paragraphs(command.notes);
  if (!command.arguments.empty()) {
    out += ".SH ARGUMENTS\n";
    for (const FlagInfo& argument : command.arguments) {
      out +=
          ".TP\n\\fI" + roff_text(argument.names[0]) + "\\fR\n" + roff_text(argument.help) + "\n";
    }
  }
  out += options(command);
  if (command.name.empty()) {
    out += ".SH COMMANDS\n";
    for (const CommandInfo& other : all) {
      if (other.name.empty()) continue;
      out += ".TP\n" + bold(other.name) + "\n" + roff_text(other.description) + "\n";
    }
  }
  if (!command.examples.empty()) out += ".SH EXAMPLES\n" + as_written(command.examples);
  out += ".SH EXIT STATUS\n" + roff_text(command.exit_codes) + "\n" + sections;
  out += ".SH SEE ALSO\n";
  std::string others;
  for (const CommandInfo& other : all) {
    if (other.name == command.name) continue;
    others +=
        (others.empty() ? "" : ",\n") + std::string(".BR ") + roff_text(other.page()) + " (1)";
  }
  return out + others + "\n";
}

}  // namespace gemma4
